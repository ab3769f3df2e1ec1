/**
 * One change on its way to the nodes it concerns: who has acknowledged it, and who has not. Hears of acknowledgements; asks no node.
 */
import type { Acknowledgements, Listener } from './acknowledgements.ts';
import type { Acknowledgement, PlacedChange } from './change.ts';

/** One node's part. */
export interface NodeStatus {
  readonly node: string;
  /** when the node's kernel had it, or what came after it, by the node's clock, RFC 3339; absent while it has not */
  readonly enforcedAt?: string;
  /** from the commit until this controller learned of that, milliseconds */
  readonly latencyMs?: number;
  /** false: its agent is dead, so it will not come soon */
  readonly alive?: false;
}

export class Waiter {
  readonly #change: PlacedChange;
  readonly #acknowledgements: Acknowledgements;
  readonly #onDoubt: () => void;
  readonly #pending = new Set<string>();
  readonly #done = new Map<string, Acknowledgement>();
  /** Resolves when no node is pending. */
  readonly done: Promise<void>;
  #resolve: () => void = () => {};

  /** @param onDoubt called when a node that is waited for stops speaking of the tenant: it may not be concerned any more */
  constructor(change: PlacedChange, nodes: Iterable<string>, acknowledgements: Acknowledgements, onDoubt: () => void) {
    this.#change = change;
    this.#acknowledgements = acknowledgements;
    this.#onDoubt = onDoubt;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    for (const node of nodes) {
      const said = acknowledgements.of(node);
      if (said?.covers(change)) this.#done.set(node, said);
      else this.#pending.add(node);
    }
    for (const node of this.#pending) acknowledgements.listen(node, this.#hear);
    if (this.#pending.size === 0) this.#resolve();
  }

  get pending(): readonly string[] {
    return [...this.#pending];
  }

  /** By name. @param committedMs when the commit's answer came */
  acknowledged(committedMs: number): NodeStatus[] {
    const nodes = [...this.#done].map(([node, { record, learnedMs }]): NodeStatus => {
      const latencyMs = Math.round(Math.max(0, learnedMs - committedMs) * 100) / 100;
      return { node, ...(record === undefined ? {} : { enforcedAt: record.at }), latencyMs };
    });
    return nodes.sort((a, b) => (a.node < b.node ? -1 : 1));
  }

  /** The node need not be waited for. */
  dismiss(node: string): void {
    this.#acknowledgements.unlisten(node, this.#hear);
    if (this.#pending.delete(node) && this.#pending.size === 0) this.#resolve();
  }

  close(): void {
    for (const node of this.#pending) this.#acknowledgements.unlisten(node, this.#hear);
  }

  readonly #hear: Listener = (node, now, before) => {
    if (now?.covers(this.#change)) {
      this.#done.set(node, now);
      this.dismiss(node);
      return;
    }
    if (now === undefined || (before?.speaksOf(this.#change) && !now.speaksOf(this.#change))) this.#onDoubt();
  };
}
