/**
 * All kinds together: which kind a key is of, and where. For those that follow records of several kinds. Pure.
 */
import type { TSchema } from 'typebox';
import { blocks } from './block.ts';
import { namespaceClaims, subnetClaims, vniClaims } from './claim.ts';
import { clusters } from './cluster.ts';
import { denials } from './denials.ts';
import { endpoints } from './endpoint.ts';
import { enforcedBy } from './enforced.ts';
import { histories, recoveries } from './history.ts';
import { type Acknowledged, type Kind, type StoredText, Unreadable } from './kind.ts';
import { lastBackups } from './last-backup.ts';
import { leaders } from './leader.ts';
import { namespaces } from './namespace.ts';
import { liveNodes, nodes } from './node.ts';
import { peerings } from './peering.ts';
import { policies, policyTurns } from './policy.ts';
import { problems } from './problems.ts';
import { tenants } from './tenant.ts';
import { traffic } from './traffic.ts';
import { wanted } from './wanted.ts';

export const KINDS = [
  clusters,
  histories,
  recoveries,
  lastBackups,
  tenants,
  vniClaims,
  subnetClaims,
  namespaceClaims,
  namespaces,
  policies,
  policyTurns,
  peerings,
  blocks,
  endpoints,
  nodes,
  liveNodes,
  enforcedBy,
  denials,
  traffic,
  problems,
  wanted,
  leaders,
] as const;

type AnyKind = (typeof KINDS)[number];

/** Where a record lies, by its kind: `{ kind: 'policy', at: { tenant, namespace, name } }`. */
export type Place = AnyKind extends infer K
  ? K extends Kind<infer Name, infer At, infer _S, infer _R>
    ? { readonly kind: Name; readonly at: At }
    : never
  : never;

/** A record with where it lies. */
export type Found = AnyKind extends infer K
  ? K extends Kind<infer Name, infer At, infer _S, infer R>
    ? { readonly kind: Name; readonly at: At; readonly record: R }
    : never
  : never;

/** Kinds of what belongs to one tenant each, whose name comes first in the key. */
const OWNED: ReadonlySet<string> = new Set(
  [tenants, namespaces, policies, policyTurns, peerings, blocks, endpoints, denials].map(({ name }) => name),
);

const BY_PREFIX: ReadonlyMap<string, AnyKind> = new Map(KINDS.map((kind) => [kind.prefix, kind]));

/** @returns undefined for a key that is nothing of Tenet's */
export function kindOf(key: string): AnyKind | undefined {
  const first = key.indexOf('/') + 1;
  const found = BY_PREFIX.get(first === 0 ? key : key.slice(0, first));
  return found ?? BY_PREFIX.get(key.slice(0, key.indexOf('/', first) + 1));
}

/** @returns undefined for a key that is nothing of Tenet's, or not of its kind's form */
export function locate(key: string): Place | undefined {
  const kind = kindOf(key);
  const at = kind?.place(key);
  return kind === undefined || at === undefined ? undefined : ({ kind: kind.name, at } as Place);
}

/** Reads a record of whatever kind. @returns undefined for a key that is nothing of Tenet's */
export function readRecord(entry: StoredText): Found | Unreadable | undefined {
  const kind = kindOf(entry.key) as Kind<string, object, TSchema, unknown> | undefined;
  if (kind === undefined) return undefined;
  const at = kind.place(entry.key);
  const record = kind.readAt(at, entry);
  return record instanceof Unreadable ? record : ({ kind: kind.name, at, record } as Found);
}

/** What lies under a prefix that is followed. */
export interface Range {
  readonly kind: Place['kind'];
  /** absent: of all tenants, or of none */
  readonly tenant?: string;
  readonly acknowledgedAs: Acknowledged | undefined;
}

/** @param prefix of one kind's records, such as `policies/blue/` or `tenants/blue` @returns undefined for any other */
export function rangeOf(prefix: string): Range | undefined {
  const kind = kindOf(prefix);
  if (kind === undefined) return undefined;
  const tenant = OWNED.has(kind.name) ? firstOf(prefix, kind.prefix.length) : '';
  return { kind: kind.name, acknowledgedAs: kind.acknowledgedAs, ...(tenant === '' ? {} : { tenant }) };
}

/** The tenant whose a record is, by its key or what is followed, be that of another form; undefined for what is no single tenant's. */
export function tenantOf(keyOrPrefix: string): string | undefined {
  return rangeOf(keyOrPrefix)?.tenant;
}

/** The tenant in the key of something that tenants have many of: quicker than {@link tenantOf}. */
export function tenantIn(key: string): string {
  return firstOf(key, key.indexOf('/') + 1);
}

function firstOf(key: string, start: number): string {
  const end = key.indexOf('/', start);
  return key.slice(start, end < 0 ? undefined : end);
}
