/**
 * Makes the cluster what a backup says, as a new history of the store: all of the file is checked before anything is written. Nodes
 * claim again what they hold after that; what could not be kept is told.
 */
import { createHash } from 'node:crypto';
import { Conflict, InvalidInput, Unavailable } from '../errors.ts';
import { BackupFault, type BackupSummary, readBackup } from '../model/backup.ts';
import { findContradiction } from '../model/backup-contents.ts';
import { kindOf } from '../model/kinds/all.ts';
import { type ClusterConfig, clusters } from '../model/kinds/cluster.ts';
import { BIRTH } from '../model/kinds/history.ts';
import { SYSTEM_TENANT, tenants } from '../model/kinds/tenant.ts';
import type { ProblemKind } from '../model/problems.ts';
import { MAX_COMMIT_BYTES, MAX_COMMIT_OPERATIONS } from '../store/commit-rules.ts';
import { keys } from '../store/keys.ts';
import { IndeterminateCommit, type Store, type Write } from '../store/store.ts';
import { listProblems } from './problems.ts';
import { unclaimedNodes, untilRecovered } from './recovery.ts';
import type { Registry } from './registry.ts';
import {
  findNotKept,
  LOOKED_AT,
  type NotKept,
  nodesIn,
  planWrites,
  type ReadBackup,
  type Records,
} from './restore-plan.ts';

/** Records by kind. */
export type Counts = Readonly<Record<string, number>>;

export interface Restored {
  /** id of the history that has begun */
  readonly history: string;
  /** written: they were not there, or others */
  readonly restored: Counts;
  readonly removed: Counts;
  /** at most {@link MOST_NOT_KEPT} */
  readonly notKept: readonly NotKept[];
  /** so many more there are */
  readonly more: number;
  /** have nodes claimed again what they hold? */
  readonly recovered: boolean;
  /** nodes that have not, by name */
  readonly waitingFor: readonly string[];
}

const MOST_NOT_KEPT = 1000;

/** One guard goes with each commit: of the history that has begun. */
const AT_ONCE = MAX_COMMIT_OPERATIONS - 1;
/** Room for that guard. */
const BYTES_AT_ONCE = MAX_COMMIT_BYTES - 10_000;

/** Times the store is looked at and mended: commits that were under way come late, and answers are lost. */
const ROUNDS = 5;

/** Problems of nodes whose containers have lost what they had. */
const LOSSES: ReadonlySet<ProblemKind> = new Set(['place_taken']);

/** A backup and what it says of itself. */
export interface WholeBackup extends ReadBackup, BackupSummary {}

/** @throws InvalidInput naming the line at fault, or the tenant whose records do not fit */
export async function readWholeBackup(chunks: AsyncIterable<Uint8Array>): Promise<WholeBackup> {
  const records = new Map<string, string>();
  try {
    const summary = await readBackup(chunks, createHash('sha256'), ({ key, value }) => records.set(key, value));
    const contradiction = findContradiction(records, new Set(summary.leftOut.map(({ key }) => key)));
    if (contradiction !== undefined) throw new InvalidInput('body', contradiction);
    return { ...summary, records };
  } catch (error) {
    if (error instanceof BackupFault) throw new InvalidInput('body', error.message);
    throw error;
  }
}

/**
 * @param timeoutMs to wait for nodes, after everything is written
 * @throws Conflict for a backup of a cluster that this one cannot become, Unavailable: then the same must be done again
 */
export async function restoreBackup(registry: Registry, backup: WholeBackup, timeoutMs: number): Promise<Restored> {
  const restored = new Map<string, string>();
  const removed = new Map<string, string>();
  let notKept: readonly NotKept[] = [];
  const write = async (store: Store): Promise<void> => {
    let known: ReadonlySet<string> | undefined;
    for (let round = 1; ; round++) {
      const live = await look(store);
      if (known === undefined) {
        known = nodesIn(live);
        notKept = findNotKept(backup, live, known);
      }
      const writes = planWrites(backup, live, known);
      if (writes.length === 0) return;
      if (round > ROUNDS) throw new Unavailable('store', 'other programs keep writing to the store: restore again');
      for (const each of writes) {
        if (each.kind === 'deleteRange') continue;
        (each.kind === 'put' ? restored : removed).set(each.key, kindOf(each.key)?.name ?? '');
      }
      for (const batch of batchesOf(writes)) await commitOrLookAgain(store, batch);
    }
  };
  await registry.store.restore(registry.name, write, (store) => checkFit(store, backup.records));
  const history = registry.store.history ?? '';
  const recovered = await untilRecovered(registry, timeoutMs);
  const { losses, waitingFor } = await lookAtNodes(registry, recovered);
  const all = [...notKept, ...losses];
  return {
    history,
    restored: countByKind(restored),
    removed: countByKind(removed),
    notKept: all.slice(0, MOST_NOT_KEPT),
    more: Math.max(0, all.length - MOST_NOT_KEPT),
    recovered,
    waitingFor,
  };
}

/** What can never change must be the same, unless nothing lives in it. @throws Conflict */
async function checkFit(store: Pick<Store, 'get' | 'list'>, records: Records): Promise<void> {
  const [{ entry }, { entries }] = await Promise.all([store.get(keys.cluster), store.list(keys.tenants)]);
  const live = entry && clusters.find(entry);
  const then = clusters.find({ key: keys.cluster, value: records.get(keys.cluster) ?? '' });
  const others = entries.filter(({ key }) => tenants.place(key)?.name !== SYSTEM_TENANT);
  if (live === undefined || then === undefined || others.length === 0) return;
  const fixed = ['pools', 'systemSubnets', 'subnetPrefixLength', 'blockPrefixLength'] as const;
  const differs = (field: keyof ClusterConfig) => JSON.stringify(live[field]) !== JSON.stringify(then[field]);
  const [field] = fixed.filter(differs);
  if (field === undefined) return;
  const said = `${JSON.stringify(then[field])} in the backup and ${JSON.stringify(live[field])} here`;
  throw new Conflict(
    `the backup is of another cluster: ${field} is ${said}, and cannot change while there are tenants`,
    {
      field,
      holder: others.length === 1 ? `tenant ${tenants.place(others[0]?.key ?? '')?.name}` : `${others.length} tenants`,
    },
  );
}

async function look(store: Store): Promise<Records> {
  const live = new Map<string, string>();
  for (const prefix of LOOKED_AT) for (const { key, value } of (await store.list(prefix)).entries) live.set(key, value);
  return live;
}

function* batchesOf(writes: readonly Write[]): Generator<readonly Write[]> {
  let batch: Write[] = [];
  let bytes = 0;
  for (const write of writes) {
    const size = write.kind === 'put' ? Buffer.byteLength(write.key) + Buffer.byteLength(write.value) : 1000;
    if (batch.length === AT_ONCE || (batch.length > 0 && bytes + size > BYTES_AT_ONCE)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(write);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** Whether a commit whose answer is lost has happened, the next look tells. */
async function commitOrLookAgain(store: Store, writes: readonly Write[]): Promise<void> {
  try {
    await store.commit([], writes);
  } catch (error) {
    if (!(error instanceof IndeterminateCommit)) throw error;
  }
}

/** Everything is written by then: that the store is away only leaves untold what nodes say. */
async function lookAtNodes(
  registry: Registry,
  recovered: boolean,
): Promise<{ readonly losses: readonly NotKept[]; readonly waitingFor: readonly string[] }> {
  try {
    const { items } = await listProblems(registry, Number.POSITIVE_INFINITY);
    const losses = items.filter(({ kind }) => LOSSES.has(kind)).map(toNotKept);
    return {
      losses,
      waitingFor: recovered ? [] : await unclaimedNodes(registry.store, registry.store.history ?? BIRTH),
    };
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    return { losses: [], waitingFor: [] };
  }
}

function toNotKept({
  kind,
  about,
  tenant,
  node,
  text,
}: Awaited<ReturnType<typeof listProblems>>['items'][number]): NotKept {
  return { kind, name: about, ...(tenant && { tenant }), ...(node && { node }), reason: text };
}

function countByKind(kinds: ReadonlyMap<string, string>): Counts {
  const counts: Record<string, number> = {};
  for (const kind of kinds.values()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
