/**
 * Networks with holes, each with the ports it allows, as the disjoint answer that a longest-prefix look-up gives: every network of a
 * length that rules look up, with the ports that all networks around it allow together. IPv4. Pure.
 */
import type { IpBlock } from '../../../../controller/model/records.ts';
import {
  familyOf,
  type IpAddress,
  type IpPrefix,
  ipToNumber,
  numberToIp,
  prefixBase,
  prefixLength,
} from '../../../../dataplane/address.ts';
import { NET_BITS, type NetBits } from '../../../../dataplane/state.ts';
import type { PortRanges } from './port-ranges.ts';

/** A network that may be called, or call, with certain ports. */
export interface AllowedNetwork {
  readonly block: IpBlock;
  /** adds its ports to a union */
  readonly addTo: (ports: PortRanges) => void;
}

export interface Region {
  readonly base: IpAddress;
  readonly bits: NetBits;
  /** what is allowed in it, in a union of `newPorts` */
  readonly ports: PortRanges;
}

interface Prefix {
  readonly base: number;
  readonly bits: number;
}

/** What begins at a prefix: networks, and holes of networks. */
interface Marks {
  readonly networks: AllowedNetwork[];
  readonly holes: AllowedNetwork[];
}

/** @param newPorts makes an empty union @returns regions without ports too: what is a hole in a larger one must be found first */
export function divide(allowed: readonly AllowedNetwork[], newPorts: () => PortRanges): Region[] {
  const marks = new Map<string, Marks>();
  const levels = new Map<string, Prefix & { readonly bits: NetBits }>();
  const mark = (prefix: IpPrefix, kind: keyof Marks, network: AllowedNetwork) => {
    if (familyOf(prefix) !== 4) return;
    const found = { base: Number(ipToNumber(prefixBase(prefix))), bits: prefixLength(prefix) };
    const known = marks.get(keyOf(found)) ?? { networks: [], holes: [] };
    known[kind].push(network);
    marks.set(keyOf(found), known);
    for (const level of onLevel(found)) levels.set(keyOf(level), level);
  };
  for (const network of allowed) {
    mark(network.block.cidr, 'networks', network);
    for (const hole of network.block.except ?? []) mark(hole, 'holes', network);
  }
  const lengths = [...new Set([...marks.keys()].map((mark) => Number(mark.slice(mark.indexOf('/') + 1))))];
  return [...levels.values()].map(({ base, bits }) => {
    const within = new Set<AllowedNetwork>();
    const outside = new Set<AllowedNetwork>();
    for (const length of lengths.filter((each) => each <= bits)) {
      const found = marks.get(keyOf({ base: maskTo(base, length), bits: length }));
      for (const network of found?.networks ?? []) within.add(network);
      for (const network of found?.holes ?? []) outside.add(network);
    }
    const ports = newPorts();
    for (const network of within) if (!outside.has(network)) network.addTo(ports);
    return { base: numberToIp(BigInt(base), 4), bits, ports };
  });
}

function keyOf({ base, bits }: Prefix): string {
  return `${base}/${bits}`;
}

/** The networks of the next length that is looked up which make up this one: at most eight. */
function* onLevel({ base, bits }: Prefix): Generator<Prefix & { readonly bits: NetBits }> {
  const level = NET_BITS.findLast((each) => each >= bits) ?? 32;
  const size = 2 ** (32 - level);
  for (let i = 0; i < 2 ** (level - bits); i++) yield { base: base + i * size, bits: level };
}

function maskTo(address: number, bits: number): number {
  const size = 2 ** (32 - bits);
  return Math.floor(address / size) * size;
}
