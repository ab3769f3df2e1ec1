/**
 * Keeps the kernel as desired: coalesces requests into passes, trusts its own last state between them and looks at what may have
 * changed alone, reads the kernel back when that trust is gone (at start, after an error, after a foreign change), and backs off
 * while the kernel refuses. What to want and how to apply it are injected.
 */

import type { Failures } from '../../../dataplane/dataplane.ts';
import { applyTo, type Change, diff, diffOf } from '../../../dataplane/diff.ts';
import { type Item, itemKey, type NodeState } from '../../../dataplane/state.ts';

export interface ReconcilerOptions {
  /**
   * The whole state wanted now, and the keys in which it may differ from what this last returned; undefined while it is not known
   * (nothing is written then).
   */
  readonly desired: () => { readonly state: NodeState; readonly changed: ReadonlySet<string> | 'all' } | undefined;
  readonly observe: (desired: NodeState) => NodeState;
  /** throws when the isolation transaction was refused, else reports what failed */
  readonly apply: (changes: readonly Change[], desired: NodeState) => Failures;
  /** told after each pass */
  readonly onPass?: (pass: Pass) => void;
  /** runs a callback later; injected for tests. @returns a function that cancels it */
  readonly later?: (ms: number, run: () => void) => () => void;
}

/** What one pass did. */
export interface Pass {
  readonly changes: readonly Change[];
  readonly failures: Failures;
  /** the kernel was read back first */
  readonly resync: boolean;
  /** the isolation transaction's error: nothing of this pass was done */
  readonly error?: unknown;
  readonly durationMs: number;
}

/** The state wanted is not known yet: the first snapshot is incomplete. */
export class NotInSync extends Error {
  readonly code = 'not_in_sync';
  constructor() {
    super('the agent has not yet seen the cluster’s state');
  }
}

interface Waiter {
  readonly resolve: (failures: Failures) => void;
  readonly reject: (error: unknown) => void;
}

const FIRST_RETRY_MS = 20;
const MAX_RETRY_MS = 5_000;

export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #later: (ms: number, run: () => void) => () => void;
  #believed: Map<string, Item> | undefined;
  #waiters: Waiter[] = [];
  #scheduled = false;
  #cancelRetry: (() => void) | undefined;
  #retryMs = FIRST_RETRY_MS;
  #closed = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#later =
      options.later ??
      ((ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      });
  }

  /** Asks for a pass, without waiting for it. */
  request(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#pass();
    });
  }

  /**
   * Resolves after a pass that began after this call, with what it could not do.
   * @throws NotInSync, or the error of a refused transaction
   */
  settle(): Promise<Failures> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      this.request();
    });
  }

  /** The kernel may no longer be as believed: read it back and put it right. */
  distrust(): void {
    this.#believed = undefined;
    this.request();
  }

  /** Tells what another part of this process made in the kernel, so that the next pass need not read it back. */
  believe(item: Item): void {
    this.#believed?.set(itemKey(item), item);
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry?.();
    for (const waiter of this.#waiters.splice(0)) waiter.reject(new NotInSync());
  }

  #pass(): void {
    if (this.#closed) return;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    const waiters = this.#waiters.splice(0);
    const started = performance.now();
    const resync = this.#believed === undefined;
    let changes: readonly Change[] = [];
    try {
      const desired = this.#options.desired();
      if (desired === undefined) {
        for (const waiter of waiters) waiter.reject(new NotInSync());
        return;
      }
      const { state, changed } = desired;
      // Until this pass is through, it is unknown what the kernel holds.
      const believed = this.#believed ?? new Map(this.#options.observe(state));
      this.#believed = undefined;
      changes = resync || changed === 'all' ? diff(state, believed) : diffOf(changed, state, believed);
      const failures: Failures = changes.length === 0 ? new Map() : this.#options.apply(changes, state);
      applyTo(believed, changes, failures);
      this.#believed = believed;
      this.#options.onPass?.({ changes, failures, resync, durationMs: performance.now() - started });
      if (failures.size > 0) this.#retry();
      else this.#retryMs = FIRST_RETRY_MS;
      for (const waiter of waiters) waiter.resolve(failures);
    } catch (error) {
      this.#options.onPass?.({ changes, failures: new Map(), resync, error, durationMs: performance.now() - started });
      this.#retry();
      for (const waiter of waiters) waiter.reject(error);
    }
  }

  #retry(): void {
    this.#believed = undefined;
    if (this.#closed) return;
    this.#cancelRetry = this.#later(this.#retryMs, () => this.request());
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }
}
