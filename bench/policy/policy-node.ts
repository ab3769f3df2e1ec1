/**
 * A node's way from records to its kernel without the rest of the agent: snapshot, desired state, one transaction of the product's own
 * nftables backend in a namespace of its own. As the agent's passes do it, and timed.
 */
import { Desired } from '../../cni-plugin/agent/desired/desired.ts';
import { Snapshot } from '../../cni-plugin/agent/watch/snapshot.ts';
import { applyTo, type Change, diff, diffOf } from '../../dataplane/diff.ts';
import type { Item, NodeState } from '../../dataplane/state.ts';
import { BenchNamespace } from '../namespace.ts';
import { openIsolation } from '../rule-update/tenet-nftables.ts';
import type { PolicyWorld } from './world.ts';

/** What one change took and did. */
export interface Applied {
  readonly us: number;
  /** that the transaction added, replaced or removed */
  readonly elements: number;
}

export interface FirstTime {
  readonly readUs: number;
  readonly computedUs: number;
  readonly appliedUs: number;
}

export class PolicyNode {
  readonly snapshot: Snapshot = new Snapshot((key) => this.#desired.touch(key));
  readonly #desired: Desired;
  readonly #namespace = new BenchNamespace();
  readonly #isolation = openIsolation(this.#namespace);
  readonly #believed = new Map<string, Item>();

  constructor({ facts }: Pick<PolicyWorld, 'facts'>) {
    this.#desired = new Desired(this.snapshot, facts);
  }

  /** Reads a whole world, wants what follows from it and loads it into the kernel. */
  begin({ entries, ownBlocks, local }: PolicyWorld): FirstTime {
    const started = performance.now();
    for (const entry of entries) this.snapshot.put(entry);
    for (const block of ownBlocks) this.#desired.setOwnBlock(block);
    for (const endpoint of local) this.#desired.setEndpoint(endpoint);
    const read = performance.now();
    const state = this.#update().state;
    const computed = performance.now();
    this.#apply(diff(state, this.#believed), state);
    const applied = performance.now();
    return {
      readUs: (read - started) * 1000,
      computedUs: (computed - read) * 1000,
      appliedUs: (applied - computed) * 1000,
    };
  }

  /** @param happen records come, change or go */
  change(happen: (snapshot: Snapshot) => void): Applied {
    const started = performance.now();
    happen(this.snapshot);
    return this.#pass(started);
  }

  /** Lets go of what is no longer used, as the agent does a moment after a change. @returns undefined when there is nothing */
  sweep(): Applied | undefined {
    if (!this.#desired.hasUnused) return undefined;
    const started = performance.now();
    this.#desired.sweep();
    return this.#pass(started);
  }

  /** Elements in the kernel, read back. @throws Error unless they are those wanted */
  elements(): number {
    const { state } = this.#update();
    const { ignores, observe } = this.#isolation;
    const wanted = [...state].filter(([, item]) => item.kind === 'element' && !ignores.has(item.collection));
    const found = observe(state);
    const missing = wanted.filter(([key]) => !found.has(key)).length;
    const count = [...found.values()].filter(({ kind }) => kind === 'element').length;
    if (missing > 0 || count !== wanted.length)
      throw new Error(`${count} elements in the kernel, ${wanted.length} wanted, of which ${missing} are missing`);
    return count;
  }

  close(): void {
    this.#isolation.close();
    this.#namespace.close();
  }

  #pass(started: number): Applied {
    const { state, changed } = this.#update();
    const changes = changed === 'all' ? diff(state, this.#believed) : diffOf(changed, state, this.#believed);
    this.#apply(changes, state);
    const us = (performance.now() - started) * 1000;
    return { us, elements: changes.filter(({ item }) => item.kind === 'element').length };
  }

  #update() {
    const wanted = this.#desired.update();
    if (wanted === undefined) throw new Error('the cluster’s configuration is not known');
    return wanted;
  }

  #apply(changes: readonly Change[], state: NodeState): void {
    this.#isolation.apply(changes, state);
    applyTo(this.#believed, changes);
  }
}
