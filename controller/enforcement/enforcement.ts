/**
 * Answers "is it enforced yet?": waits until every node that a change concerns says that the change is in its kernel. Follows what
 * nodes say from the first question on; who never asks pays nothing. It changes nothing in the store.
 */
import { Unavailable } from '../errors.ts';
import type { ProblemBook } from '../model/problems.ts';
import { Backoff } from '../store/backoff.ts';
import { followingProblems } from '../store/findings.ts';
import type { FollowWatcher } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import type { Revision, Store } from '../store/store.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { type Change, concernsOverseers, type PlacedChange } from './change.ts';
import { findHolders, findPeers, followsAllTenants, Overseers } from './concerned.ts';
import { type SetDeadline, setDeadline } from './deadline.ts';
import { type NodeStatus, Waiter } from './waiter.ts';

/** How far a change has come. */
export interface EnforcementStatus {
  readonly revision: Revision;
  readonly enforced: boolean;
  /** those concerned, by name */
  readonly nodes: readonly NodeStatus[];
  /** names of those that have not said so in time; absent when there are none */
  readonly lagging?: readonly string[];
}

export interface EnforcementOptions {
  readonly store: Store;
  /** id of the history that the store is in */
  readonly history: () => string;
  readonly book: ProblemBook;
  /** nodes with an endpoint of the tenant, as far as is known here */
  readonly endpointNodes: (tenant: string) => readonly string[];
  /** a monotonic clock, `performance.now` unless given */
  readonly nowMs?: () => number;
  /** the machine's own timers unless given */
  readonly setDeadline?: SetDeadline;
}

export class Enforcement {
  readonly #options: EnforcementOptions;
  readonly #nowMs: () => number;
  readonly #acknowledgements: Acknowledgements;
  readonly #overseers: Overseers;
  readonly #closing = new AbortController();
  /** what ends each wait that is under way */
  readonly #waits = new Set<AbortController>();
  /** prefixes that cannot be followed just now: what is missing may be a node that is concerned */
  readonly #deafTo = new Set<string>();
  #following: Promise<unknown> | undefined;

  constructor(options: EnforcementOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#acknowledgements = new Acknowledgements(this.#nowMs, options.book);
    this.#overseers = new Overseers(options.book);
  }

  /** Begins to follow what nodes say. Who is going to wait calls it before he writes, so that no time is lost afterwards. */
  start(): void {
    if (this.#following !== undefined || this.#closing.signal.aborted) return;
    const { store } = this.#options;
    const { signal } = this.#closing;
    const watcher = this.#watcher();
    const parts = [
      this.#acknowledgements.follow(store, signal, watcher),
      this.#overseers.follow(store, signal, watcher),
    ];
    this.#following = Promise.all(parts);
  }

  /**
   * Call it as soon as the commit's answer is there: latencies count from now.
   * @param timeoutMs 0: says how things are
   * @returns also when the time is over, or this is closed; a store that is away meanwhile only takes time
   */
  async wait(written: Change, timeoutMs: number): Promise<EnforcementStatus> {
    const committedMs = this.#nowMs();
    const change: PlacedChange = { ...written, history: this.#options.history() };
    this.start();
    const ending = new AbortController();
    this.#waits.add(ending);
    const deadline = (this.#options.setDeadline ?? setDeadline)(timeoutMs);
    deadline.signal.addEventListener('abort', () => ending.abort(), { once: true });
    if (this.#closing.signal.aborted) ending.abort();
    try {
      return await this.#waitUntil(ending.signal, change, committedMs);
    } finally {
      deadline.cancel();
      this.#waits.delete(ending);
    }
  }

  /** The status of a change that nodes do not have in time; says which of them are dead. */
  async describeLate(
    revision: Revision,
    lagging: readonly string[],
    done: readonly NodeStatus[] = [],
  ): Promise<EnforcementStatus> {
    const dead = await this.#findDead(lagging);
    const late = lagging.map((node): NodeStatus => (dead.has(node) ? { node, alive: false } : { node }));
    const nodes = [...done, ...late].sort((a, b) => (a.node < b.node ? -1 : 1));
    return { revision, enforced: false, nodes, lagging: lagging.toSorted() };
  }

  /** Ends the following, and every wait with what is known by then. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const ending of this.#waits) ending.abort();
    await this.#following;
  }

  async #waitUntil(signal: AbortSignal, change: PlacedChange, committedMs: number): Promise<EnforcementStatus> {
    const over = aborted(signal);
    const synced = Promise.all([this.#acknowledgements.synced, this.#overseers.synced]);
    const [holders] = await Promise.all([this.#findHolders(change, signal), Promise.race([synced, over])]);
    // Without an answer of the store it is unknown which nodes the change concerns, so it cannot be called enforced.
    if (holders === undefined) return await this.describeLate(change.revision, []);
    const concerned = new Set([...holders, ...(concernsOverseers(change) ? this.#overseers.names : [])]);
    const waiter = new Waiter(
      change,
      concerned,
      this.#acknowledgements,
      () => void this.#dismiss(waiter, change, signal),
    );
    try {
      await Promise.race([waiter.done, over]);
      if (waiter.pending.length > 0) await this.#dismiss(waiter, change, signal);
      const done = waiter.acknowledged(committedMs);
      const isKnown = waiter.pending.length === 0 && this.#deafTo.size === 0;
      if (isKnown) return { revision: change.revision, enforced: true, nodes: done };
      return await this.describeLate(change.revision, waiter.pending, done);
    } finally {
      waiter.close();
    }
  }

  #watcher(): FollowWatcher {
    const problems = followingProblems(this.#options.book);
    return {
      failed: (prefix, error) => {
        this.#deafTo.add(prefix);
        problems.failed(prefix, error);
      },
      recovered: (prefix) => {
        this.#deafTo.delete(prefix);
        problems.recovered(prefix);
      },
    };
  }

  /** Read after the commit: who claims a block later starts from a later revision. @returns undefined if the time is over first */
  async #findHolders(change: Change, signal: AbortSignal): Promise<Set<string> | undefined> {
    const backoff = new Backoff();
    for (;;) {
      try {
        return await this.#holdersNow(change, signal);
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        if (signal.aborted) return undefined;
        await backoff.wait(signal);
      }
    }
  }

  /** @param signal ends a wait for what nodes say, which is asked where records cannot tell */
  async #holdersNow(change: Change, signal: AbortSignal): Promise<Set<string>> {
    const { store, endpointNodes } = this.#options;
    const peers = change.withPeers ? await findPeers(store, change.tenant) : { names: [], isWhole: true };
    const tenants = [...change.holders, ...peers.names];
    const holders = await findHolders(store, tenants);
    const nodes = new Set([...holders.names, ...tenants.flatMap(endpointNodes)]);
    if (holders.isWhole && peers.isWhole) return nodes;
    await Promise.race([this.#acknowledgements.synced, aborted(signal)]);
    for (const node of this.#acknowledgements.speakersOf(change)) nodes.add(node);
    return nodes;
  }

  /** Lets go of nodes that the change does not concern any more: their last container has ended, or they were forgotten. */
  async #dismiss(waiter: Waiter, change: Change, signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    try {
      const nodes = await this.#holdersNow(change, signal);
      const left = waiter.pending.filter((node) => !nodes.has(node));
      const isOverseer = async (node: string) => concernsOverseers(change) && (await followsAllTenants(store, node));
      const overseers = await Promise.all(left.map(isOverseer));
      for (const [index, node] of left.entries()) if (overseers[index] === false) waiter.dismiss(node);
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
    }
  }

  async #findDead(nodes: readonly string[]): Promise<ReadonlySet<string>> {
    const { store } = this.#options;
    try {
      const found = await Promise.all(nodes.map((node) => store.get(keys.liveNode(node))));
      return new Set(nodes.filter((_, index) => found[index]?.entry === undefined));
    } catch (error) {
      if (error instanceof Unavailable) return new Set();
      throw error;
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
