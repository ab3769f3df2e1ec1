/**
 * What this node knows of the cluster, folded from store entries: the same entries give the same snapshot, in whatever order
 * they came. A record it cannot read counts as absent, and absence denies. Pure; holds no endpoint of this node (those are the
 * agent's own, see local-endpoints).
 */
import type { Block, ClusterConfig, Node, Tenant } from '../../../controller/model/records.ts';
import { keys, parsePrefixKey } from '../../../controller/store/keys.ts';
import { parseRecord, RecordError } from '../../../controller/store/records.ts';
import type { Entry, Revision, WatchEvent } from '../../../controller/store/store.ts';
import type { IpPrefix } from '../../../dataplane/address.ts';
import { checkCluster, checkNode, checkTenant } from './shape.ts';

/** A tenant as read, with what a guarded write about it must name. */
export interface KnownTenant {
  readonly tenant: Tenant;
  readonly modRevision: Revision;
}

export class Snapshot {
  #cluster: ClusterConfig | undefined;
  readonly #nodes = new Map<string, Node>();
  readonly #tenants = new Map<string, KnownTenant>();
  /** by tenant, then by store key */
  readonly #blocks = new Map<string, Map<string, Block>>();
  readonly #unreadable = new Map<string, string>();

  get cluster(): ClusterConfig | undefined {
    return this.#cluster;
  }

  get nodes(): ReadonlyMap<string, Node> {
    return this.#nodes;
  }

  get tenants(): ReadonlyMap<string, KnownTenant> {
    return this.#tenants;
  }

  /** Keys whose value could not be read, and why. */
  get unreadable(): ReadonlyMap<string, string> {
    return this.#unreadable;
  }

  tenant(name: string): Tenant | undefined {
    return this.#tenants.get(name)?.tenant;
  }

  /** The tenant that has claimed a namespace, among those known here. */
  ownerOf(namespace: string): Tenant | undefined {
    for (const { tenant } of this.#tenants.values()) if (tenant.namespaces.includes(namespace)) return tenant;
    return undefined;
  }

  blocksOf(tenant: string): Iterable<Block> {
    return this.#blocks.get(tenant)?.values() ?? [];
  }

  /** The node that holds a block, as far as is known here. */
  holderOf(tenant: string, block: IpPrefix): string | undefined {
    return this.#blocks.get(tenant)?.get(keys.block(tenant, block))?.node;
  }

  *allBlocks(): Generator<Block> {
    for (const blocks of this.#blocks.values()) yield* blocks.values();
  }

  apply(event: WatchEvent): void {
    if (event.kind === 'put') this.put(event.entry);
    else this.remove(event.key);
  }

  /** Replaces everything known under a prefix, as after a list. */
  replace(prefix: string, entries: readonly Entry[]): void {
    const present = new Set(entries.map((entry) => entry.key));
    for (const key of this.#keysUnder(prefix)) if (!present.has(key)) this.remove(key);
    for (const entry of entries) this.put(entry);
  }

  put(entry: Entry): void {
    const { key, value } = entry;
    this.#unreadable.delete(key);
    try {
      const [kind, first = ''] = key.split('/');
      if (key === keys.cluster) this.#cluster = checkCluster(parseRecord(key, value));
      else if (kind === 'nodes') this.#nodes.set(first, checkNode(parseRecord(key, value)));
      else if (kind === 'tenants') {
        this.#tenants.set(first, { tenant: checkTenant(parseRecord(key, value)), modRevision: entry.modRevision });
      } else if (kind === 'blocks') {
        const { node } = parseRecord<{ node: string }>(key, value);
        if (typeof node !== 'string') throw new RecordError(key, 'names no node');
        this.#blocksByKey(first).set(key, { tenant: first, prefix: parsePrefixKey(key), node });
      }
    } catch (error) {
      this.remove(key);
      this.#unreadable.set(key, error instanceof RecordError ? error.message : String(error));
    }
  }

  remove(key: string): void {
    this.#unreadable.delete(key);
    const [kind, first = ''] = key.split('/');
    if (key === keys.cluster) this.#cluster = undefined;
    else if (kind === 'nodes') this.#nodes.delete(first);
    else if (kind === 'tenants') this.#tenants.delete(first);
    else if (kind === 'blocks') {
      this.#blocks.get(first)?.delete(key);
      if (this.#blocks.get(first)?.size === 0) this.#blocks.delete(first);
    }
  }

  #blocksByKey(tenant: string): Map<string, Block> {
    let blocks = this.#blocks.get(tenant);
    if (blocks === undefined) {
      blocks = new Map();
      this.#blocks.set(tenant, blocks);
    }
    return blocks;
  }

  *#keysUnder(prefix: string): Generator<string> {
    const all = [
      ...(this.#cluster === undefined ? [] : [keys.cluster]),
      ...[...this.#nodes.keys()].map(keys.node),
      ...[...this.#tenants.keys()].map(keys.tenant),
      ...[...this.#blocks.values()].flatMap((blocks) => [...blocks.keys()]),
      ...this.#unreadable.keys(),
    ];
    for (const key of new Set(all)) if (key.startsWith(prefix)) yield key;
  }
}
