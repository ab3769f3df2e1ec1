/** Records of every kind to be made unreadable, as updates of good ones and as additions. Written straight into etcd. */
import { KINDS, kindOf } from '../../../controller/model/kinds/all.ts';
import type { Lab } from '../../lab/lab.ts';
import { etcdRecords } from './cluster.ts';

/** Breaks every kind's schema. */
export const ODD = '{"schema":99}';

/** One record that is to become unreadable. */
export interface OddRecord {
  readonly kind: string;
  readonly key: string;
  readonly good: string;
  /** there is none of it otherwise: it goes afterwards */
  readonly isMade: boolean;
  /** false: the node writes it again at once, so that it is not told by all means */
  readonly isTold: boolean;
}

const AT = '2026-01-01T00:00:00.000Z';

/** Good ones of kinds that a cluster has only for moments; nodes that are not there write nothing into them. */
const MADE: Readonly<Record<string, object>> = {
  recovery: { history: 'another', begunAt: AT, phase: 'claiming' },
  'denials/red/zz': { at: AT, sequence: 0, started: AT, denials: [] },
  'traffic/zz': { at: AT, tenants: {} },
  'problems/zz': { problems: [] },
  'wanted/traffic/zz': {},
};

/**
 * One of each kind. Of those that several tenants or nodes have, it is what the flood leans on.
 * @param leaning parts of keys that are preferred
 */
export async function recordsOfEveryKind(lab: Lab, leaning: readonly string[]): Promise<readonly OddRecord[]> {
  const there = await etcdRecords(lab);
  const rank = (key: string) => leaning.findIndex((part) => key.includes(part)) >>> 0;
  const found = new Map<string, OddRecord>();
  for (const { key, value } of there.toSorted((a, b) => rank(b.key) - rank(a.key))) {
    const kind = kindOf(key)?.name;
    if (kind !== undefined)
      found.set(kind, { kind, key, good: value, isMade: false, isTold: kind !== 'acknowledgement' });
  }
  for (const [key, record] of Object.entries(MADE)) {
    const kind = kindOf(key)?.name ?? '';
    found.set(kind, { kind, key, good: JSON.stringify({ schema: 1, ...record }), isMade: true, isTold: true });
  }
  const missing = KINDS.filter(({ name }) => !found.has(name)).map(({ name }) => name);
  if (missing.length > 0) throw new Error(`no record of: ${missing.join(', ')}`);
  return KINDS.flatMap(({ name }) => found.get(name) ?? []);
}

/**
 * Keys of records that can come into being unreadable, of every kind but those of which a cluster always has its one record. A policy is
 * apart, for it closes its namespace.
 * @param block a free block of tenant red, as a key has it
 */
export function oddAdditions(block: string): readonly string[] {
  return [
    'backup',
    'recovery',
    'tenants/zz',
    'claims/vni/zz',
    'claims/vni/00000077',
    'claims/subnet/zz',
    'claims/namespace/zz',
    'namespaces/red/zz',
    'policy-turns/zz',
    'peerings/red/zz',
    'blocks/red/zz',
    `blocks/red/${block}`,
    'endpoints/red/node1/zz',
    'nodes/zz',
    'live/zz',
    'enforced/zz',
    'denials/red/zz',
    'traffic/zz',
    'problems/zz',
    'wanted/zz',
    'wanted/traffic/zz',
  ];
}
