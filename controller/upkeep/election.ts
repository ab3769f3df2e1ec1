/**
 * Elects one leader among the controllers: the one that creates the key `leader`, under a lease of its own, leads until the lease
 * can no longer be trusted. A leader cut off from the store steps down before anybody else can take over; one that is merely
 * slow is fenced off, because every leader's write carries the guard given here. What a leader does is not known here.
 */
import { randomUUID } from 'node:crypto';
import { Unavailable } from '../errors.ts';
import { leaders } from '../model/kinds/leader.ts';
import { Backoff } from '../store/backoff.ts';
import { type FollowSink, type FollowWatcher, follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import { type Guard, IndeterminateCommit, type Lease, type Revision, type Store } from '../store/store.ts';

/** Seconds after which a leader that vanished without a word is replaced. */
const LEADER_TTL_SECONDS = 5;

/** Holds for as long as the leadership that it was given with; to be among the guards of every write a leader makes. */
export type LeaderGuard = Extract<Guard, { readonly kind: 'sameIncarnation' }>;

/**
 * What a leader does. It must end soon after `signal` aborts: until it has, the candidate does not stand again. When it ends
 * before, the leadership is given up.
 */
export type OnElected = (signal: AbortSignal, guard: LeaderGuard) => Promise<void>;

export interface CampaignOptions {
  /** 5 unless given */
  readonly ttlSeconds?: number;
}

/**
 * Stands for leader again and again until `signal` aborts; resolves when the last `onElected` has ended and the key is given up.
 * @throws what `onElected` throws, other than Unavailable and IndeterminateCommit, which only end that leadership
 */
export async function campaign(
  store: Store,
  name: string,
  onElected: OnElected,
  signal: AbortSignal,
  watcher: FollowWatcher,
  { ttlSeconds = LEADER_TTL_SECONDS }: CampaignOptions = {},
): Promise<void> {
  const backoff = new Backoff();
  while (!signal.aborted) {
    try {
      await standOnce({ store, name, onElected, ttlSeconds, watcher }, signal);
      backoff.reset();
    } catch (error) {
      if (!isStoreTrouble(error)) throw error;
    }
    await backoff.wait(signal);
  }
}

interface Candidate {
  readonly store: Store;
  readonly name: string;
  readonly onElected: OnElected;
  readonly ttlSeconds: number;
  readonly watcher: FollowWatcher;
}

/** One lease's worth: leads, or waits until there is no leader. */
async function standOnce(candidate: Candidate, signal: AbortSignal): Promise<void> {
  const { store, name, ttlSeconds, watcher } = candidate;
  const { entry } = await store.get(keys.leader);
  if (entry) return await untilGone(store, entry.createRevision, signal, watcher);
  const lease = await store.lease(ttlSeconds);
  try {
    const createRevision = await createKey(store, name, lease);
    if (createRevision !== undefined) await lead(candidate, lease, createRevision, signal);
  } finally {
    await lease.close();
  }
}

/** The revision at which the key became ours; undefined when it is another controller's. */
async function createKey(store: Store, name: string, lease: Lease): Promise<Revision | undefined> {
  const record = { name, attempt: randomUUID() };
  try {
    const result = await store.commit(
      [{ kind: 'absent', key: keys.leader }],
      [{ kind: 'put', key: keys.leader, value: leaders.format(record), lease }],
    );
    return result.committed ? result.revision : undefined;
  } catch (error) {
    if (!(error instanceof IndeterminateCommit)) throw error;
    const { entry } = await store.get(keys.leader);
    const ours = entry && leaders.find(entry)?.attempt === record.attempt;
    return ours ? entry.createRevision : undefined;
  }
}

/** Runs `onElected` until it ends, its signal aborted as soon as the lease is doubtful or the key is gone. */
async function lead(
  { store, onElected, watcher }: Candidate,
  lease: Lease,
  createRevision: Revision,
  signal: AbortSignal,
): Promise<void> {
  const deposed = new AbortController();
  const depose = (): void => deposed.abort();
  void lease.lost.then(depose);
  const over = AbortSignal.any([signal, deposed.signal]);
  const gone = untilGone(store, createRevision, over, watcher).then(depose, depose);
  try {
    await onElected(over, { kind: 'sameIncarnation', key: keys.leader, createRevision });
  } finally {
    depose();
    await gone;
  }
}

/** Waits until that incarnation of the leader's key is gone, or `signal` aborts. */
async function untilGone(
  store: Store,
  createRevision: Revision,
  signal: AbortSignal,
  watcher: FollowWatcher,
): Promise<void> {
  const gone = new AbortController();
  const sink: FollowSink = {
    snapshot: (entries) => {
      const same = entries.some((entry) => entry.key === keys.leader && entry.createRevision === createRevision);
      if (!same) gone.abort();
    },
    events: ({ events }) => {
      if (events.some((event) => event.kind === 'delete' && event.key === keys.leader)) gone.abort();
    },
  };
  await follow(store, keys.leader, sink, AbortSignal.any([signal, gone.signal]), watcher);
}

function isStoreTrouble(error: unknown): boolean {
  return error instanceof Unavailable || error instanceof IndeterminateCommit;
}
