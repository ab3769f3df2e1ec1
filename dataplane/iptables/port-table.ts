/** Port sets as ranges, which is how iptables wants them, from the prefixes that elements are. Pure. */

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** By number of the port set, then by protocol number; in order. */
export type PortSetRanges = ReadonlyMap<number, ReadonlyMap<number, readonly PortRange[]>>;

export class PortTable {
  /** by port set, protocol and first port: how many follow */
  readonly #prefixes = new Map<number, Map<string, { readonly protocol: number } & PortRange>>();

  #all: PortSetRanges | undefined;

  /** @param bits that ports of the prefix share */
  change(portSet: number, protocol: number, port: number, bits: number, isAdded: boolean): void {
    this.#all = undefined;
    const key = `${protocol} ${port}/${bits}`;
    const known = this.#prefixes.get(portSet) ?? new Map();
    if (isAdded) known.set(key, { protocol, from: port, to: port + 2 ** (16 - bits) - 1 });
    else known.delete(key);
    if (known.size === 0) this.#prefixes.delete(portSet);
    else this.#prefixes.set(portSet, known);
  }

  all(): PortSetRanges {
    const sorted = () => [...this.#prefixes].sort(([a], [b]) => a - b);
    this.#all ??= new Map(sorted().map(([portSet, prefixes]) => [portSet, merge([...prefixes.values()])]));
    return this.#all;
  }
}

/** Ranges that touch are one. */
function merge(ranges: readonly ({ readonly protocol: number } & PortRange)[]): Map<number, PortRange[]> {
  const merged = new Map<number, PortRange[]>();
  for (const { protocol, from, to } of ranges.toSorted((a, b) => a.protocol - b.protocol || a.from - b.from)) {
    const known = merged.get(protocol) ?? [];
    const last = known.at(-1);
    if (last !== undefined && from <= last.to + 1)
      known[known.length - 1] = { from: last.from, to: Math.max(last.to, to) };
    else known.push({ from, to });
    merged.set(protocol, known);
  }
  return merged;
}
