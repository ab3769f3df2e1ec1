/**
 * Makes this node known: its record, which outlives the agent because its pods and rules do, and a leased key beside it that says
 * the agent is alive. Gateways and manage nodes also claim their address in the system overlay. Tries until it succeeds.
 */
import type { Logger } from 'pino';
import { blocks } from '../../../controller/model/kinds/block.ts';
import { liveNodes, type Node, nodes } from '../../../controller/model/kinds/node.ts';
import { SYSTEM_TENANT } from '../../../controller/model/kinds/tenant.ts';
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { Backoff } from '../../../controller/store/backoff.ts';
import { noteStoreError } from '../../../controller/store/findings.ts';
import { keys } from '../../../controller/store/keys.ts';
import { NEW_CLAIM, refuseDuringRecovery } from '../../../controller/store/recovery.ts';
import type { Guard, Lease, Store } from '../../../controller/store/store.ts';
import { addressAt, familyOf, hostPrefix, type IpAddress, prefixBase, prefixSize } from '../../../dataplane/address.ts';
import { systemAddressOf } from '../desired/world.ts';
import type { Snapshot } from '../watch/snapshot.ts';

export interface RegistrationOptions {
  readonly store: Store;
  readonly snapshot: Snapshot;
  readonly book: ProblemBook;
  readonly log: Logger;
  /** read anew at each try: the underlay may change */
  readonly node: () => Node;
  readonly needsSystemAddress: boolean;
  readonly ttlSeconds?: number;
  /** another machine, at this underlay address, is alive under our name */
  readonly onNameTaken: (underlay: string) => void;
  /** aborts when the node must become known anew, though its lease is alive */
  readonly over: () => AbortSignal;
  /** Claims again what this node holds; the node is not called known before that. @throws Unavailable */
  readonly reclaim: () => Promise<void>;
  /** each time the node has become known: an operator or leader that took it for dead may have removed what it had written */
  readonly onRegistered: () => void;
}

/** What a problem of it is about: before the node is known to others, and when it has been. */
export const REGISTRATION = 'registration of the node';
const RENEWAL = 'renewed registration of the node';

/** Runs until aborted, or until the name is found taken; never rejects. */
export async function stayRegistered(options: RegistrationOptions, signal: AbortSignal): Promise<void> {
  const { store, book, log } = options;
  const backoff = new Backoff();
  let about = REGISTRATION;
  let held: IpAddress | undefined;
  while (!signal.aborted) {
    let lease: Lease | undefined;
    const over = options.over();
    try {
      const other = await nameTakenBy(store, options.node());
      if (other !== undefined) return options.onNameTaken(other);
      await publishNode(options);
      if (options.needsSystemAddress) {
        held ??= systemAddressOf(options.snapshot, options.node().name);
        held = await claimSystemAddress(options, held);
      }
      lease = await store.lease(options.ttlSeconds ?? 10);
      const live = {
        kind: 'put',
        key: keys.liveNode(options.node().name),
        value: liveNodes.format({}),
        lease,
      } as const;
      await store.commit([], [live]);
      await options.reclaim();
      log.info({ op: 'register', node: options.node().name }, 'node is known to the cluster');
      book.solved('store_refused', about);
      about = RENEWAL;
      // What has been claimed again is of a history that is over by now: it is to be done anew.
      if (!over.aborted) options.onRegistered();
      backoff.reset();
      await Promise.race([lease.lost, aborted(signal), aborted(over)]);
    } catch (error) {
      if (noteStoreError(book, about, error)) log.debug({ op: 'register', err: error }, 'cannot register yet');
    }
    await lease?.close();
    if (!signal.aborted) await backoff.wait(signal);
  }
}

/** Writes the node's record when it is not there or says something else. */
async function publishNode({ store, node }: RegistrationOptions): Promise<void> {
  const record = node();
  const key = keys.node(record.name);
  const value = nodes.format(record);
  const { entry } = await store.get(key);
  if (entry?.value !== value) await store.commit([], [{ kind: 'put', key, value }]);
}

/**
 * The lowest free address of the system subnets, kept for good: claimed again where another history of the store does not have it. Asks
 * the store, for what was heard of it may be of the one before.
 * @param held the address this node had so far
 */
async function claimSystemAddress(
  { store, snapshot, node }: RegistrationOptions,
  held: IpAddress | undefined,
): Promise<IpAddress> {
  const { name } = node();
  const heldKey = held && keys.block(SYSTEM_TENANT, hostPrefix(held));
  for (;;) {
    const { entries } = await store.list(keys.blocks(SYSTEM_TENANT));
    for (const entry of entries) {
      const block = blocks.find(entry);
      if (block?.node === name) return prefixBase(block.prefix);
    }
    const taken = new Set(entries.map(({ key }) => key));
    const isHeld = heldKey !== undefined && !taken.has(heldKey);
    const key = isHeld ? heldKey : freeSystemKey(snapshot, taken);
    const value = blocks.format({ node: name });
    const guards: Guard[] = [{ kind: 'absent', key }, ...(isHeld ? [] : [NEW_CLAIM])];
    const { committed } = await store.commit(guards, [{ kind: 'put', key, value }]);
    if (!committed && !isHeld) await refuseDuringRecovery(store);
  }
}

function freeSystemKey(snapshot: Snapshot, taken: ReadonlySet<string>): string {
  for (const subnet of snapshot.cluster?.systemSubnets ?? []) {
    if (familyOf(subnet) !== 4) continue;
    for (let index = 1n; index < prefixSize(subnet); index++) {
      const key = keys.block(SYSTEM_TENANT, hostPrefix(addressAt(subnet, index)));
      if (!taken.has(key)) return key;
    }
  }
  throw new Error('the system subnets have no free address');
}

/** Is another machine alive under this node's name? */
async function nameTakenBy(store: Store, node: Node): Promise<string | undefined> {
  const [record, live] = await Promise.all([store.get(keys.node(node.name)), store.get(keys.liveNode(node.name))]);
  if (record.entry === undefined || live.entry === undefined) return undefined;
  const { underlay } = nodes.get(record.entry);
  return underlay === node.underlay ? undefined : underlay;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
