/** At which underlay address each node is, and which nodes say they are at one. Pure. */
import type { Node } from '../../../controller/model/records.ts';
import type { IpAddress } from '../../../dataplane/address.ts';

export class NodePlaces {
  readonly #placeOf = new Map<string, IpAddress>();
  readonly #nodesAt = new Map<IpAddress, Set<string>>();

  /** Nodes whose places are known. */
  nodes(): Iterable<string> {
    return this.#placeOf.keys();
  }

  addresses(): Iterable<IpAddress> {
    return this.#nodesAt.keys();
  }

  /** @param nodes records by name, of which those that say so are returned */
  nodesAt(address: IpAddress, nodes: ReadonlyMap<string, Node>): readonly Node[] {
    return [...(this.#nodesAt.get(address) ?? [])].flatMap((name) => nodes.get(name) ?? []);
  }

  /** @param now undefined for a node that is gone @returns addresses at which something may be different */
  place(node: string, now: IpAddress | undefined): readonly IpAddress[] {
    const before = this.#placeOf.get(node);
    if (before !== undefined) {
      const left = this.#nodesAt.get(before);
      left?.delete(node);
      if (left?.size === 0) this.#nodesAt.delete(before);
      this.#placeOf.delete(node);
    }
    if (now !== undefined) {
      this.#placeOf.set(node, now);
      this.#nodesAt.set(now, (this.#nodesAt.get(now) ?? new Set()).add(node));
    }
    return [before, now].filter((address) => address !== undefined);
  }
}
