/**
 * What a restore writes, and what of the store it cannot keep, from the records of both. What is configured becomes what the backup says.
 * What nodes say of themselves does not: a node that the store knows has said something newer, or says it again. One that only the
 * backup knows may still run containers: it is put back with its blocks, so that none of their addresses is given to another
 * container before it claims them again or is deleted. Its endpoints it publishes itself; their labels may be others by now. Pure.
 */
import { CONFIGURED } from '../model/backup.ts';
import { kindOf, tenantOf } from '../model/kinds/all.ts';
import { blocks } from '../model/kinds/block.ts';
import { denials } from '../model/kinds/denials.ts';
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
export const LOOKED_AT: readonly string[] = [...CONFIGURED, nodes, blocks, policyTurns, denials].map(
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
export function planWrites({ records, leftOut }: ReadBackup, live: Records, known: ReadonlySet<string>): Write[] {
  const left = new Set(leftOut.map(({ key }) => key));
  const isOver = (key: string): boolean => {
    if (records.has(key) || left.has(key)) return false;
    const { name = '' } = kindOf(key) ?? {};
    if (CONFIGURED_NAMES.has(name)) return true;
    return TENANTS_TRACES.has(name) && !records.has(tenants.key({ name: tenantOf(key) ?? '' }));
  };
  const isDue = ([key, value]: readonly [string, string]): boolean => {
    if (CONFIGURED_NAMES.has(kindOf(key)?.name ?? '')) return live.get(key) !== value;
    const node = nodes.place(key)?.name ?? blocks.find({ key, value })?.node;
    return node !== undefined && !known.has(node) && !live.has(key);
  };
  const put = ([key, value]: readonly [string, string]): Write => ({ kind: 'put', key, value });
  const due = [...records].filter(isDue);
  const isNode = ([key]: readonly [string, string]) => nodes.place(key) !== undefined;
  return [
    ...[...live.keys()].filter(isOver).map((key): Write => ({ kind: 'delete', key })),
    ...due.filter((record) => !isNode(record)).map(put),
    ...due.filter(isNode).map(put),
  ];
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
