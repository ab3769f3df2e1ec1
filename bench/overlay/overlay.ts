/**
 * What containers of two hosts get out of the network between them: bytes a second, round trips, connections. Tenet's way, its rules and
 * all, beside a bridge with a VXLAN link and no rules, in turns.
 */
import { setImmediate } from 'node:timers/promises';
import { withNetns } from '../../dataplane/system/netns.ts';
import { startLab } from '../../test/lab/lab.ts';
import type { Figure, Part, PartResult, RunOptions, Target, Unit } from '../result.ts';
import { summarise } from '../sample.ts';
import { connectAndAsk, roundTrips, stream } from './conversation.ts';
import { BARE, buildWays, TENET, type Way } from './ways.ts';

const STREAM = 'TCP stream';
const RATE = 'TCP request and response';
const ROUND_TRIP = 'TCP round trip';
const CONNECT = 'TCP connection with one request';
const UNITS: Readonly<Record<string, Unit>> = { [STREAM]: 'Gbit/s', [RATE]: '/s', [ROUND_TRIP]: 'µs', [CONNECT]: 'µs' };

/** In one turn. */
const MEBIBYTES = 256;
const REQUESTS = 1_000;
const CONNECTIONS = 50;

const WANTED_SHARE = 0.95;

export const overlay: Part = {
  name: 'overlay',
  title: 'TCP between containers of two hosts',
  scale: 'connections',
  baseline: BARE,
  charts: [
    { title: 'One TCP stream', kind: 'bars', operations: [STREAM] },
    { title: 'Requests of one byte, one at a time', kind: 'bars', operations: [RATE] },
    { title: 'Connect, ask, close', kind: 'bars', operations: [CONNECT] },
  ],
  run: runOverlay,
};

async function runOverlay({ quick, signal, progress }: RunOptions): Promise<PartResult> {
  progress('a lab of two nodes and two other hosts');
  const lab = await startLab({ nodes: 2, signal });
  try {
    const { ways, close } = await buildWays(lab);
    try {
      const samples = new Map(ways.map((way) => [way, new Map<string, number[]>()]));
      const rounds = quick ? 8 : 40;
      for (let round = 0; round <= rounds; round++) {
        if (round % 10 === 1) progress(`round ${round} of ${rounds}`);
        for (const [way, own] of samples) {
          await setImmediate();
          signal.throwIfAborted();
          // The first is for compilers, caches and learning where things are.
          const turn = withNetns(way.from, () => takeTurn(way));
          if (round > 0) for (const [name, values] of turn) own.set(name, [...(own.get(name) ?? []), ...values]);
        }
      }
      const figures = Object.entries(UNITS).flatMap(([operation, unit]) =>
        Array.from(samples, ([{ name }, own]): Figure => {
          return { operation, subject: name, scale: 1, ...summarise(own.get(operation) ?? [], unit) };
        }),
      );
      return { figures, targets: judge(figures), tools: {}, skipped: [] };
    } finally {
      close();
    }
  } finally {
    await lab.close();
  }
}

function takeTurn({ to }: Way): ReadonlyMap<string, readonly number[]> {
  const gigabits = (MEBIBYTES * 2 ** 20 * 8) / 1e9 / stream(to, MEBIBYTES);
  const trips = roundTrips(to, REQUESTS);
  const requests = (REQUESTS / trips.reduce((sum, us) => sum + us, 0)) * 1e6;
  return new Map([
    [STREAM, [gigabits]],
    [RATE, [requests]],
    [ROUND_TRIP, trips],
    [CONNECT, Array.from({ length: CONNECTIONS }, () => connectAndAsk(to))],
  ]);
}

function judge(figures: readonly Figure[]): Target[] {
  const median = (operation: string, subject: string) =>
    figures.find((each) => each.operation === operation && each.subject === subject)?.value ?? Number.NaN;
  return [STREAM, RATE].map((operation) => {
    const share = median(operation, TENET) / median(operation, BARE);
    return {
      what: `${operation}, over ${BARE}`,
      wanted: `≥ ${WANTED_SHARE} ×`,
      measured: `${share.toFixed(2)} ×`,
      met: share >= WANTED_SHARE,
    };
  });
}
