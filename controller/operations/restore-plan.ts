/**
 * What a restore writes, and what of the store it cannot keep, from the records of both. What is configured becomes what the backup says.
 * What nodes say of themselves does not: a node that the store knows has said something newer, or says it again. One that only the
 * backup knows may still run containers: it is put back with its blocks, so that none of their addresses is given to another
 * container before it claims them again or is deleted. Its endpoints it publishes itself; their labels may be others by now. Blocks and
 * endpoints outside what their tenant has by the backup have no place any more: their node finds that out, and cuts the pods off. Pure.
 */
import { type IpAddress, type IpPrefix, prefixBase, prefixContains } from '../../dataplane/address.ts';
import { CONFIGURED } from '../model/backup.ts';
import { kindOf, tenantOf } from '../model/kinds/all.ts';
import { blocks } from '../model/kinds/block.ts';
import { denials } from '../model/kinds/denials.ts';
import { endpoints } from '../model/kinds/endpoint.ts';
import { namespaces } from '../model/kinds/namespace.ts';
import { nodes } from '../model/kinds/node.ts';
import { peerings } from '../model/kinds/peering.ts';
import { policies, policyTurns } from '../model/kinds/policy.ts';
import { tenants } from '../model/kinds/tenant.ts';
import type { Write } from '../store/store.ts';

/** Values by key. */
export type Records = ReadonlyMap<string, string>;

/** What was in the store, or should be in it, and is not after the restore. */
export interface NotKept {
  /** of the record, `subnet`, or of the problem that tells it */
  readonly kind: string;
  /** a key's part behind its kind, a network, or what the problem is about */
  readonly name: string;
  readonly tenant?: string;
  readonly node?: string;
  readonly reason: string;
}

/** A backup as it was read. */
export interface ReadBackup {
  readonly records: Records;
  /** what the backup could not read when it was made: it stays as it is */
  readonly leftOut: readonly { readonly key: string; readonly reason: string }[];
}

/** Prefixes of all that a restore looks at. */
export const LOOKED_AT: readonly string[] = [...CONFIGURED, nodes, blocks, endpoints, policyTurns, denials].map(
  ({ prefix }) => prefix,
);

const CONFIGURED_NAMES: ReadonlySet<string> = new Set(CONFIGURED.map(({ name }) => name));

/** Kinds of what goes with its tenant, and is in no backup. */
const TENANTS_TRACES: ReadonlySet<string> = new Set([policyTurns.name, denials.name]);

/** Names of the nodes that the store knows. */
export function nodesIn(live: Records): ReadonlySet<string> {
  return new Set([...live.keys()].flatMap((key) => nodes.place(key)?.name ?? []));
}

/**
 * What makes the store what the backup says; nothing where it is that already. Nodes come last: one that is there has its blocks.
 * @param known nodes of the store before the restore
 */
export function planWrites(backup: ReadBackup, live: Records, known: ReadonlySet<string>): Write[] {
  const { records } = backup;
  const left = new Set(backup.leftOut.map(({ key }) => key));
  const places = new Places(backup);
  const isOver = ([key, value]: readonly [string, string]): boolean => {
    const { name = '' } = kindOf(key) ?? {};
    if (CONFIGURED_NAMES.has(name)) return !records.has(key) && !left.has(key);
    if (TENANTS_TRACES.has(name)) return !places.hasTenant(tenantOf(key) ?? '');
    return !places.includes(key, value);
  };
  const isDue = ([key, value]: readonly [string, string]): boolean => {
    if (CONFIGURED_NAMES.has(kindOf(key)?.name ?? '')) return live.get(key) !== value;
    const node = nodes.place(key)?.name ?? blocks.find({ key, value })?.node;
    return node !== undefined && !known.has(node) && !live.has(key) && places.includes(key, value);
  };
  const put = ([key, value]: readonly [string, string]): Write => ({ kind: 'put', key, value });
  const due = [...records].filter(isDue);
  const isNode = ([key]: readonly [string, string]) => nodes.place(key) !== undefined;
  return [
    ...[...live].filter(isOver).map(([key]): Write => ({ kind: 'delete', key })),
    ...due.filter((record) => !isNode(record)).map(put),
    ...due.filter(isNode).map(put),
  ];
}

/** What tenants have by the backup. */
class Places {
  /** undefined: it cannot be read, so that nothing of it is judged */
  readonly #subnets = new Map<string, readonly IpPrefix[] | undefined>();

  constructor({ records, leftOut }: ReadBackup) {
    for (const { key } of leftOut) this.#learn(key, undefined);
    for (const [key, value] of records) this.#learn(key, tenants.find({ key, value })?.subnets);
  }

  hasTenant(name: string): boolean {
    return this.#subnets.has(name);
  }

  /** Is it a block or endpoint within them, or anything else? */
  includes(key: string, value: string): boolean {
    const block = blocks.place(key);
    if (block !== undefined) return this.#has(block.tenant, [prefixBase(block.prefix)]);
    const endpoint = endpoints.place(key);
    return endpoint === undefined || this.#has(endpoint.tenant, endpoints.find({ key, value })?.ips ?? []);
  }

  #has(tenant: string, addresses: readonly IpAddress[]): boolean {
    const subnets = this.#subnets.get(tenant);
    if (subnets === undefined) return this.hasTenant(tenant);
    return addresses.every((address) => subnets.some((subnet) => prefixContains(subnet, address)));
  }

  #learn(key: string, subnets: readonly IpPrefix[] | undefined): void {
    const at = tenants.place(key);
    if (at !== undefined) this.#subnets.set(at.name, subnets);
  }
}

/** @param live of the store before the restore */
export function findNotKept(backup: ReadBackup, live: Records, known: ReadonlySet<string>): NotKept[] {
  return [
    ...madeSince(backup, live),
    ...subnetsSince(backup.records, live),
    ...takenBlocks(backup.records, live, known),
    ...backup.leftOut
      .filter(({ key }) => !live.has(key))
      .map(({ key, reason }) => ({
        kind: kindOf(key)?.name ?? 'record',
        name: key,
        reason: `the backup says: ${reason}`,
      })),
  ];
}

/** Tenants, and what the others have more than the backup says. */
function madeSince({ records, leftOut }: ReadBackup, live: Records): NotKept[] {
  const left = new Set(leftOut.map(({ key }) => key));
  const reason = 'it is not in the backup';
  return [...live.keys()].flatMap((key): NotKept[] => {
    const kind = [tenants, namespaces, policies, peerings].find(({ prefix }) => key.startsWith(prefix));
    if (kind === undefined || records.has(key) || left.has(key)) return [];
    const tenant = tenantOf(key) ?? '';
    const name = Object.values<string>(kind.place(key) ?? { key }).join('/');
    if (kind === tenants) return [{ kind: kind.name, name, reason }];
    // What goes with its tenant is not told besides.
    return records.has(tenants.key({ name: tenant })) ? [{ kind: kind.name, name, tenant, reason }] : [];
  });
}

function subnetsSince(records: Records, live: Records): NotKept[] {
  return [...live].flatMap(([key, value]) => {
    const now = tenants.find({ key, value });
    const then = records.get(key);
    const kept = then === undefined ? undefined : tenants.find({ key, value: then });
    if (now === undefined || kept === undefined) return [];
    const lost = now.subnets.filter((subnet) => !kept.subnets.includes(subnet));
    const reason = 'the tenant did not have it when the backup was made';
    return lost.map((subnet): NotKept => ({ kind: 'subnet', name: subnet, tenant: now.name, reason }));
  });
}

/** Of nodes that only the backup knows, what other nodes hold by now. */
function takenBlocks(records: Records, live: Records, known: ReadonlySet<string>): NotKept[] {
  return [...records].flatMap(([key, value]) => {
    const then = blocks.find({ key, value });
    const now = live.get(key);
    if (then === undefined || now === undefined || known.has(then.node)) return [];
    const holder = blocks.find({ key, value: now })?.node;
    if (holder === then.node) return [];
    const reason = `${holder ?? 'another node'} holds it by now`;
    return [{ kind: blocks.name, name: then.prefix, tenant: then.tenant, node: then.node, reason }];
  });
}
