/** Port sets as ranges, which is how iptables wants them, from the prefixes that elements are. Pure. */
import { PORT_SET } from '../../state.ts';

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

/** Port sets by what they have in common. */
export class Ports {
  readonly #sets: PortSetRanges;
  readonly #known = new Map<string, boolean>();

  constructor(sets: PortSetRanges) {
    this.#sets = sets;
  }

  /** Is every port of the second one of the first? */
  holds(first: number, second: number): boolean {
    if (first === PORT_SET.all || first === second) return true;
    const [outer, inner] = [this.#sets.get(first), this.#sets.get(second)];
    if (outer === undefined || inner === undefined) return false;
    return this.#remember(`${first} holds ${second}`, () =>
      [...inner].every(([protocol, ranges]) =>
        ranges.every(({ from, to }) =>
          (outer.get(protocol) ?? []).some((range) => range.from <= from && range.to >= to),
        ),
      ),
    );
  }

  /** Have they a port in common? Of one that is not known it may be any. */
  meet(first: number, second: number): boolean {
    if (first === PORT_SET.all || second === PORT_SET.all || first === second) return true;
    const [one, other] = [this.#sets.get(first), this.#sets.get(second)];
    if (one === undefined || other === undefined) return true;
    return this.#remember(`${first} meets ${second}`, () =>
      [...one].some(([protocol, ranges]) => ranges.some((range) => overlap(range, other.get(protocol) ?? []))),
    );
  }

  #remember(what: string, answer: () => boolean): boolean {
    const known = this.#known.get(what) ?? answer();
    this.#known.set(what, known);
    return known;
  }
}

function overlap({ from, to }: PortRange, others: readonly PortRange[]): boolean {
  return others.some((other) => other.from <= to && other.to >= from);
}
