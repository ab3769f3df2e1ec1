/** This process's own sockets in a lab: one prober for each namespace, and the sentinel that all of them share. */
import { Prober } from './probe/prober.ts';
import { Sentinel } from './probe/sentinel.ts';
import { OUTSIDE, type Topology } from './topology.ts';

export class Probers {
  readonly #outside: string;
  readonly #probers = new Map<string, Prober>();
  #sentinel: Sentinel | undefined;

  constructor({ outside }: Topology) {
    this.#outside = outside.netns;
  }

  /** @param netns name of a namespace */
  in(netns: string): Prober {
    const known = this.#probers.get(netns) ?? new Prober(netns, this.sentinel);
    this.#probers.set(netns, known);
    return known;
  }

  /** From the host outside to the fabric's router and back. */
  get sentinel(): Sentinel {
    this.#sentinel ??= new Sentinel(this.#outside, OUTSIDE.router);
    return this.#sentinel;
  }

  /** Closes what is open in a namespace that goes. */
  leave(netns: string): void {
    this.#probers.get(netns)?.close();
    this.#probers.delete(netns);
  }

  close(): void {
    for (const netns of [...this.#probers.keys()]) this.leave(netns);
    this.#sentinel?.close();
    this.#sentinel = undefined;
  }
}
