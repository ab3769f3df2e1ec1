/** What the design wants of rule updates, and whether it is so. Pure. @see docs/internals/targets.md */
import { formatCount, formatRatio, formatValue } from '../format.ts';
import type { Figure, Target } from '../result.ts';
import { OPERATIONS } from './contestant.ts';
import { TENET_IPSET } from './tenet-ipset.ts';
import { TENET } from './tenet-nftables.ts';

export const LEGACY = 'iptables-legacy-restore';
export const NFT_BACKED = 'iptables-nft-restore';

/** Factors over iptables-restore of one rule, by what is there already. */
const WANTED_FACTOR: ReadonlyMap<number, number> = new Map([
  [1_000, 400],
  [10_000, 1_500],
  [100_000, 15_000],
]);
const WANTED_ELEMENT_US = 6;
const WANTED_ENDPOINT_US = 20;
const WANTED_GROWTH = 1.3;

export function judge(figures: readonly Figure[], sizes: readonly number[]): Target[] {
  const median = (subject: string, operation: string, existing: number) =>
    figures.find((each) => each.subject === subject && each.operation === operation && each.scale === existing)?.value;
  /** Of a subject, at all sizes. */
  const course = (subject: string, operation: string, wantedUs: number): Target[] => {
    const times = sizes.map((size) => median(subject, operation, size) ?? Number.NaN);
    if (times.every(Number.isNaN)) return [];
    const slowest = Math.max(...times);
    const growth = (times.at(-1) ?? Number.NaN) / (times[0] ?? Number.NaN);
    const what = `${subject}: ${operation}`;
    return [
      target(`${what}, slowest median`, `≤ ${wantedUs} µs`, formatValue(slowest, 'µs'), slowest <= wantedUs),
      target(`${what}, most over fewest there`, `≤ ${WANTED_GROWTH}`, formatRatio(growth), growth <= WANTED_GROWTH),
    ];
  };
  const factors = (operation: string): Target[] =>
    [...WANTED_FACTOR].flatMap(([size, wanted]) =>
      [NFT_BACKED, LEGACY].flatMap((peer) => {
        const factor = (median(peer, operation, size) ?? Number.NaN) / (median(TENET, operation, size) ?? Number.NaN);
        if (Number.isNaN(factor)) return [];
        const what = `${operation} at ${formatCount(size)}, faster than ${peer}`;
        return target(what, `≥ ${formatCount(wanted)} ×`, `${formatCount(Math.round(factor))} ×`, factor >= wanted);
      }),
    );
  return [
    ...[TENET, TENET_IPSET].flatMap((subject) =>
      [OPERATIONS.add, OPERATIONS.delete].flatMap((operation) => course(subject, operation, WANTED_ELEMENT_US)),
    ),
    ...[OPERATIONS.addEndpoint, OPERATIONS.deleteEndpoint].flatMap((operation) =>
      course(TENET, operation, WANTED_ENDPOINT_US),
    ),
    ...[OPERATIONS.add, OPERATIONS.delete].flatMap(factors),
  ];
}

function target(what: string, wanted: string, measured: string, met: boolean): Target {
  return { what, wanted, measured, met };
}
