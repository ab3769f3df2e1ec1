/**
 * Keeps the kernel as desired: coalesces requests into passes, trusts its own last state between them, reads the kernel back when
 * that trust is gone (at start, after an error, after a foreign change), and backs off while the kernel refuses. What to want and
 * how to apply it are injected.
 */

import type { Failures } from '../../../dataplane/dataplane.ts';
import { applied, type Change, diff } from '../../../dataplane/diff.ts';
import type { NodeState } from '../../../dataplane/state.ts';

export interface ReconcilerOptions {
  /** the whole state wanted now; undefined while it is not known (nothing is written then) */
  readonly desired: () => NodeState | undefined;
  readonly observe: (desired: NodeState) => NodeState;
  /** throws when the isolation transaction was refused, else reports what failed */
  readonly apply: (changes: readonly Change[], desired: NodeState) => Failures;
  /** told after each pass that changed or failed something */
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
  #believed: NodeState | undefined;
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

  /** Tells what somebody else of this process did to the kernel, so that the next pass need not read it back. */
  believe(change: (believed: NodeState) => NodeState): void {
    if (this.#believed !== undefined) this.#believed = change(this.#believed);
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
      const believed = this.#believed ?? this.#options.observe(desired);
      changes = diff(desired, believed);
      const failures: Failures = changes.length === 0 ? new Map() : this.#options.apply(changes, desired);
      this.#believed = applied(believed, changes, new Set(failures.keys()));
      this.#report({ changes, failures, resync, durationMs: performance.now() - started });
      if (failures.size > 0) this.#retry();
      else this.#retryMs = FIRST_RETRY_MS;
      for (const waiter of waiters) waiter.resolve(failures);
    } catch (error) {
      this.#report({ changes, failures: new Map(), resync, error, durationMs: performance.now() - started });
      this.#retry();
      for (const waiter of waiters) waiter.reject(error);
    }
  }

  #report(pass: Pass): void {
    if (pass.changes.length > 0 || pass.failures.size > 0 || pass.error !== undefined || pass.resync) {
      this.#options.onPass?.(pass);
    }
  }

  #retry(): void {
    this.#believed = undefined;
    if (this.#closed) return;
    this.#cancelRetry = this.#later(this.#retryMs, () => this.request());
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
  }
}
