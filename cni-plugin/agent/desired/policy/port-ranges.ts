/**
 * Which ports something is allowed to: a union of ranges of protocols, in one spelling, and as the prefixes that rules look up. Pure.
 */
import type { NamedPort, PolicyPort, Protocol } from '../../../../controller/model/records.ts';
import { PORT_BITS, PORT_SET, type PortBits } from '../../../../dataplane/state.ts';
import { PROTOCOL_NUMBER } from '../protocol-number.ts';

const LAST_PORT = 65_535;

/** A union that grows. */
export class PortRanges {
  #everything = false;
  readonly #ranges: { readonly protocol: Protocol; readonly from: number; readonly to: number }[] = [];

  /**
   * @param ports absent: every protocol and port
   * @param resolve ports that a name stands for, none if the destination has none of that name
   */
  add(
    ports: readonly PolicyPort[] | undefined,
    resolve: (name: string, protocol: Protocol) => readonly number[],
  ): void {
    if (ports === undefined) this.#everything = true;
    for (const { protocol, port, endPort } of ports ?? []) {
      if (port === undefined) this.#ranges.push({ protocol, from: 0, to: LAST_PORT });
      else if (typeof port === 'number') this.#ranges.push({ protocol, from: port, to: endPort ?? port });
      else for (const each of resolve(port, protocol)) this.#ranges.push({ protocol, from: each, to: each });
    }
  }

  /** The same text for the same ports: `6:80-81,443-443;17:53-53`. '': none; `*`: every protocol and port. */
  format(): string {
    if (this.#everything) return '*';
    const merged = new Map<number, [from: number, to: number][]>();
    const sorted = this.#ranges.map((each) => ({ ...each, number: PROTOCOL_NUMBER[each.protocol] }));
    sorted.sort((a, b) => a.number - b.number || a.from - b.from);
    for (const { number, from, to } of sorted) {
      const ranges = merged.get(number) ?? [];
      const last = ranges.at(-1);
      if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
      else ranges.push([from, to]);
      merged.set(number, ranges);
    }
    const formatted = [...merged].map(
      ([number, ranges]) => `${number}:${ranges.map((range) => range.join('-')).join(',')}`,
    );
    return formatted.join(';');
  }
}

/** Port sets that need no elements, by their text. */
export const FIXED_PORT_SETS: ReadonlyMap<string, number> = new Map([
  ['*', PORT_SET.all],
  ['', PORT_SET.none],
]);

/** The ports an endpoint itself calls so. */
export function portsNamed(ports: readonly NamedPort[], name: string, protocol: Protocol): number[] {
  return ports
    .filter((each) => each.name === name && each.protocol === protocol)
    .map(({ containerPort }) => containerPort);
}

/** Ports with the same first bits as `port`. */
export interface PortPrefix {
  readonly protocol: number;
  readonly port: number;
  readonly bits: PortBits;
}

/** @param text of {@link PortRanges.format} @returns prefixes that together are exactly its ports */
export function* portPrefixes(text: string): Generator<PortPrefix> {
  if (FIXED_PORT_SETS.has(text)) return;
  for (const part of text.split(';')) {
    const [number = '', ranges = ''] = part.split(':');
    for (const range of ranges.split(',')) {
      const [from = 0, to = 0] = range.split('-').map(Number);
      for (const prefix of coveringPrefixes(from, to)) yield { protocol: Number(number), ...prefix };
    }
  }
}

/** The largest that fits, from the beginning to the end. */
function* coveringPrefixes(from: number, to: number): Generator<{ readonly port: number; readonly bits: PortBits }> {
  for (let port = from; port <= to; ) {
    const bits = PORT_BITS.findLast((each) => port % size(each) === 0 && port + size(each) - 1 <= to) ?? 16;
    yield { port, bits };
    port += size(bits);
  }
}

function size(bits: PortBits): number {
  return 2 ** (16 - bits);
}
