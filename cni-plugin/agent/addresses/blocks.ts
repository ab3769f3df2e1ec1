/**
 * Addresses for this node's endpoints: blocks are claimed in the store by compare-and-swap, addresses inside them are this
 * node's alone to give. Works without the store while the blocks last. Never wires anything.
 */
import { Conflict, Exhausted, InvalidInput, Unavailable } from '../../../controller/errors.ts';
import { type Block, blocks as blockKind } from '../../../controller/model/kinds/block.ts';
import type { Tenant } from '../../../controller/model/kinds/tenant.ts';
import { keys } from '../../../controller/store/keys.ts';
import { NEW_CLAIM, refuseDuringRecovery } from '../../../controller/store/recovery.ts';
import { type Guard, IndeterminateCommit, type Store } from '../../../controller/store/store.ts';
import {
  familyOf,
  type IpAddress,
  type IpPrefix,
  prefixBase,
  prefixContains,
  prefixOf,
} from '../../../dataplane/address.ts';
import type { Journal } from '../endpoints/journal.ts';
import { KeyedLock } from '../keyed-lock.ts';
import type { SnapshotReplica } from '../watch/replica.ts';
import type { Snapshot } from '../watch/snapshot.ts';
import { Addresses } from './addresses.ts';
import { findHolder, getActive, refuseWithoutCluster, releaseClaim, UNKNOWN_HOLDER } from './block-claims.ts';
import { freeBlocks } from './free-blocks.ts';

const NEW = [NEW_CLAIM];

export interface BlocksOptions {
  readonly node: string;
  readonly store: Store;
  readonly journal: Journal;
  readonly replica: SnapshotReplica;
  /** no container can be using an address that this agent does not know of */
  readonly mayAdopt: () => boolean;
  /** 0 <= n < 1; spreads nodes over a tenant's blocks */
  readonly random?: () => number;
}

export class Blocks {
  readonly #options: BlocksOptions;
  readonly #addresses: Addresses;
  /** blocks that are being given back */
  readonly #leaving = new Set<IpPrefix>();
  /** blocks of which it is unknown whether they are this node's */
  readonly #doubtful = new Set<IpPrefix>();
  /** claims of one tenant, one after the other: 32 ADDs at once need one block */
  readonly #claiming = new KeyedLock();

  constructor(options: BlocksOptions) {
    this.#options = options;
    const holding = [...options.journal.endpoints.values()].filter(({ phase }) => phase !== 'quarantined');
    this.#addresses = new Addresses(holding.flatMap(({ endpoint }) => endpoint.ips));
  }

  /** This node's blocks of a tenant. */
  *owned(tenant: string): Generator<Block> {
    for (const block of this.#options.journal.blocks.values()) if (block.tenant === tenant) yield block;
  }

  /**
   * Takes one address of the tenant, claiming a block when none here has room.
   * @throws Exhausted when every block of the tenant is taken, Unavailable when a block is needed and the store is away
   */
  async allocate(tenant: Tenant): Promise<IpAddress> {
    for (;;) {
      const address = this.#takeFree(tenant.name);
      if (address !== undefined) return address;
      await this.#claiming.run(tenant.name, async () => {
        if (!this.#hasFree(tenant.name)) await this.#claimAny(tenant.name);
      });
    }
  }

  /**
   * Takes the very address that was asked for.
   * @param field of the request, for errors
   * @throws InvalidInput outside the tenant's subnets, Conflict when it is taken or its block is another node's
   */
  async allocateWanted(tenant: Tenant, wanted: IpAddress, field: string): Promise<IpAddress> {
    if (!tenant.subnets.some((subnet) => prefixContains(subnet, wanted))) {
      throw new InvalidInput(
        field,
        `${wanted} is in none of tenant ${tenant.name}'s subnets (${tenant.subnets.join(', ')})`,
      );
    }
    const prefix = prefixOf(wanted, this.#blockLength(wanted));
    const own = async () => {
      if (this.#options.journal.blocks.has(prefix)) return;
      const holder = await this.#claim(tenant.name, prefix, NEW);
      if (holder !== undefined) {
        throw new Conflict(`${field}: ${wanted} lies in block ${prefix}, which is node ${holder}'s`, { field, holder });
      }
    };
    await this.#claiming.run(tenant.name, async () => {
      await own();
      if (this.#doubtful.has(prefix))
        throw new Unavailable('store', `whether block ${prefix} is still this node's is not known`);
      if (!this.#addresses.take(wanted)) throw new Conflict(`${field}: ${wanted} is in use`, { field });
    });
    return wanted;
  }

  /** Gives an address back. Its flows must be forgotten first. */
  release(address: IpAddress): void {
    this.#addresses.release(address);
  }

  /** Has any address of this block been handed out? */
  inUse(block: IpPrefix): boolean {
    return this.#addresses.isAnyOf(block);
  }

  /** Gives an unused block back to its tenant. True if it is gone from here. */
  async giveBack(block: Block): Promise<boolean> {
    return this.#claiming.run(block.tenant, async () => {
      // From here on no container is given an address of it, so what is unused now stays unused.
      this.#leaving.add(block.prefix);
      try {
        if (this.inUse(block.prefix)) return false;
        await releaseClaim(this.#options.store, { ...block, node: this.#options.node });
        this.#doubtful.delete(block.prefix);
        await this.#options.journal.record({ op: 'unblock', tenant: block.tenant, prefix: block.prefix });
        return true;
      } catch (error) {
        // It may be another node's by now: not to be used until that is known.
        if (error instanceof IndeterminateCommit) this.#doubtful.add(block.prefix);
        throw error;
      } finally {
        this.#leaving.delete(block.prefix);
      }
    });
  }

  /**
   * Makes sure that the blocks remembered here are still this node's: an operator who took it for dead has freed them. Claims again
   * what no node took, forgets what is another node's or of a tenant that is gone.
   * @param anew what the snapshot says counts for nothing: the store is asked
   * @returns the blocks that are lost; endpoints with an address in them are quarantined
   * @throws Unavailable when it takes the store to tell and that is away
   */
  async confirm({ anew = false } = {}): Promise<readonly Block[]> {
    const { journal, node } = this.#options;
    const snapshot = this.#snapshot;
    const lost: Block[] = [];
    for (const block of [...journal.blocks.values()]) {
      const { tenant, prefix } = block;
      const isOurs = () => !anew && snapshot.holderOf(tenant, prefix) === node;
      if (isOurs()) continue;
      await this.#claiming.run(tenant, async () => {
        const isSettled = !journal.blocks.has(prefix) || isOurs();
        if (isSettled) return;
        if (await this.#claimAgain(block)) {
          this.#doubtful.delete(prefix);
          return;
        }
        await journal.record({ op: 'unblock', tenant, prefix });
        lost.push(block);
      });
    }
    return lost;
  }

  /** No address is given out of the blocks held now until {@link confirm} has found that they still are this node's. */
  doubt(): void {
    for (const { prefix } of this.#options.journal.blocks.values()) this.#doubtful.add(prefix);
  }

  /** Is this address in a block of this node's? */
  covers(address: IpAddress): boolean {
    for (const { prefix } of this.#options.journal.blocks.values()) if (prefixContains(prefix, address)) return true;
    return false;
  }

  get #snapshot(): Snapshot {
    return this.#options.replica.snapshot;
  }

  /** The tenant has changed since the snapshot saw it (a new subnet, a deletion). @throws Unavailable */
  #refresh(tenant: string): Promise<void> {
    return this.#options.replica.lookAtTenant(this.#options.store, tenant);
  }

  async #claimAgain({ tenant, prefix }: Block): Promise<boolean> {
    try {
      // Also of a tenant that is being deleted: forgotten here, the claim would stand in the way of the deletion for good.
      const holder = await findHolder(this.#options.store, tenant, prefix);
      if (holder !== undefined) return holder === this.#options.node || holder === UNKNOWN_HOLDER;
      await this.#refresh(tenant);
      const subnets = this.#snapshot.tenant(tenant)?.subnets ?? [];
      if (subnets.length === 0) await refuseWithoutCluster(this.#options.store);
      const isTenants = subnets.some((subnet) => prefixContains(subnet, prefixBase(prefix)));
      return isTenants && (await this.#claim(tenant, prefix)) === undefined;
    } catch (error) {
      if (error instanceof Conflict) return false;
      throw error;
    }
  }

  #hasFree(tenant: string): boolean {
    const address = this.#takeFree(tenant);
    if (address === undefined) return false;
    this.#addresses.release(address);
    return true;
  }

  #takeFree(tenant: string): IpAddress | undefined {
    for (const { prefix } of this.owned(tenant)) {
      if (this.#leaving.has(prefix) || this.#doubtful.has(prefix)) continue;
      const address = this.#addresses.takeFrom(prefix);
      if (address !== undefined) return address;
    }
    return undefined;
  }

  /** Takes up blocks the store says are ours that this agent does not remember: the node's former life left them. */
  async #adopt(tenant: string): Promise<boolean> {
    const { journal, node, mayAdopt } = this.#options;
    const lost = [...this.#snapshot.blocksOf(tenant)].filter(
      (block) => block.node === node && !journal.blocks.has(block.prefix),
    );
    if (lost.length === 0 || !mayAdopt()) return false;
    let adopted = false;
    for (const { prefix } of lost) {
      // One just given back is still this node's in the snapshot.
      if ((await findHolder(this.#options.store, tenant, prefix)) !== node) continue;
      await journal.record({ op: 'block', tenant, prefix });
      adopted = true;
    }
    return adopted;
  }

  async #claimAny(tenant: string): Promise<void> {
    if (await this.#adopt(tenant)) return;
    const taken = new Set<IpPrefix>();
    for (const block of this.#snapshot.blocksOf(tenant)) taken.add(block.prefix);
    for (let round = 0; round < 2; round++) {
      for (const prefix of this.#candidates(tenant, taken)) {
        if ((await this.#claim(tenant, prefix, NEW)) === undefined) return;
        taken.add(prefix);
      }
      // The snapshot may lag behind blocks that were given back and subnets that were added: look at the store before saying no.
      await this.#refresh(tenant);
      taken.clear();
      const { entries } = await this.#options.store.list(keys.blocks(tenant));
      for (const prefix of entries.flatMap(({ key }) => blockKind.place(key)?.prefix ?? [])) taken.add(prefix);
    }
    getActive(this.#snapshot, tenant);
    throw new Exhausted(
      `blocks of tenant ${tenant}`,
      `tenant ${tenant} has no free addresses left on this node and no free block in its subnets: give it another subnet`,
    );
  }

  #candidates(tenant: string, taken: ReadonlySet<IpPrefix>): Iterable<IpPrefix> {
    const { random = Math.random } = this.#options;
    const subnets = this.#snapshot.tenant(tenant)?.subnets ?? [];
    return freeBlocks(subnets, (base) => this.#blockLength(base), taken, random);
  }

  #blockLength(address: IpAddress): number {
    const { cluster } = this.#snapshot;
    if (cluster === undefined) throw new Unavailable('store', 'the cluster’s configuration is not known yet');
    return familyOf(address) === 4 ? cluster.blockPrefixLength.v4 : cluster.blockPrefixLength.v6;
  }

  /** @returns undefined when the block is ours now, else the node that has it */
  async #claim(tenant: string, prefix: IpPrefix, guards: readonly Guard[] = []): Promise<string | undefined> {
    const { store, node, journal } = this.#options;
    const known = getActive(this.#snapshot, tenant);
    const key = keys.block(tenant, prefix);
    const value = blockKind.format({ node });
    let revision: number | undefined;
    try {
      const result = await store.commit(
        [
          ...guards,
          { kind: 'absent', key },
          { kind: 'unchanged', key: keys.tenant(tenant), modRevision: known.modRevision },
        ],
        [{ kind: 'put', key, value }],
      );
      if (result.committed) revision = result.revision;
    } catch (error) {
      if (!(error instanceof IndeterminateCommit)) throw error;
    }
    if (revision === undefined) {
      const holder = await findHolder(this.#options.store, tenant, prefix);
      if (holder === undefined) {
        if (guards.length > 0) await refuseDuringRecovery(store);
        await this.#refresh(tenant);
        return this.#claim(tenant, prefix, guards);
      }
      if (holder !== node) return holder;
    }
    await journal.record({ op: 'block', tenant, prefix });
    return undefined;
  }
}
