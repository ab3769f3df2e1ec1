/**
 * What containers of two hosts get out of the network between them: bytes a second, round trips, connections, and what one packet costs.
 * Tenet's way, its rules and all, beside a bridge with a VXLAN link and no rules, in turns.
 */
import { setImmediate } from 'node:timers/promises';
import { withNetns } from '../../dataplane/system/netns.ts';
import { startLab } from '../../test/lab/lab.ts';
import { netnsPath } from '../../test/lab/probe/netns-path.ts';
import type { Figure, Part, PartResult, RunOptions, Target, Unit } from '../result.ts';
import { summarise } from '../sample.ts';
import { connectAndAsk, roundTrips, stream } from './conversation.ts';
import { PacketStream } from './packets.ts';
import { BARE, buildWays, TENET, type Way } from './ways.ts';

const STREAM = 'TCP stream';
const RATE = 'TCP request and response';
const ROUND_TRIP = 'TCP round trip';
const CONNECT = 'TCP connection with one request';
const PACKET = 'one packet, container to container';
const UNITS: Readonly<Record<string, Unit>> = {
  [STREAM]: 'Gbit/s',
  [RATE]: '/s',
  [ROUND_TRIP]: 'µs',
  [CONNECT]: 'µs',
  [PACKET]: 'µs',
};

/** In one turn. */
const MEBIBYTES = 256;
const REQUESTS = 1_000;
const CONNECTIONS = 50;
const PACKET_CALLS = 48;
/** of them, not counted */
const WARM_UP_CALLS = 8;
/** Beyond these, none begins once time is up. */
const FEWEST_ROUNDS = 3;

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
    { title: 'One small packet', kind: 'bars', operations: [PACKET] },
  ],
  run: runOverlay,
};

async function runOverlay({ quick, signal, progress }: RunOptions): Promise<PartResult> {
  progress('a lab of two nodes and two other hosts');
  const lab = await startLab({ nodes: 2, signal });
  const racers: Racer[] = [];
  let close = (): void => undefined;
  try {
    const built = await buildWays(lab);
    close = built.close;
    for (const way of built.ways) racers.push(new Racer(way));
    const { rounds, budgetMs } = quick ? { rounds: 8, budgetMs: 30_000 } : { rounds: 40, budgetMs: 180_000 };
    const end = performance.now() + budgetMs;
    for (let round = 0; round <= rounds; round++) {
      if (round % 10 === 1) progress(`round ${round} of ${rounds}`);
      if (round >= FEWEST_ROUNDS && performance.now() > end) break;
      for (const racer of racers) {
        await setImmediate();
        signal.throwIfAborted();
        // The first is for compilers, caches and learning where things are.
        racer.turn(round > 0);
      }
    }
    const figures = Object.keys(UNITS).flatMap((operation) => racers.map((racer) => racer.figure(operation)));
    return { figures, targets: judge(figures), tools: {}, skipped: [] };
  } finally {
    for (const racer of racers) racer.close();
    close();
    await lab.close();
  }
}

/** One way, and what it gave. */
class Racer {
  readonly #way: Way;
  readonly #packets: PacketStream;
  readonly #samples = new Map<string, number[]>();

  constructor(way: Way) {
    this.#way = way;
    this.#packets = new PacketStream(way);
  }

  turn(counts: boolean): void {
    const { near, peer } = this.#way;
    const inside = <T>(work: () => T): T => withNetns(netnsPath(near.netns), work);
    const keep = (operation: string, values: readonly number[]): void => {
      if (counts) this.#samples.set(operation, [...(this.#samples.get(operation) ?? []), ...values]);
    };
    keep(STREAM, [(MEBIBYTES * 2 ** 20 * 8) / 1e9 / inside(() => stream(peer, MEBIBYTES))]);
    const trips = inside(() => roundTrips(peer, REQUESTS));
    keep(ROUND_TRIP, trips);
    keep(RATE, [(REQUESTS / trips.reduce((sum, us) => sum + us, 0)) * 1e6]);
    keep(
      CONNECT,
      inside(() => Array.from({ length: CONNECTIONS }, () => connectAndAsk(peer))),
    );
    keep(PACKET, this.#packets.send(PACKET_CALLS).slice(WARM_UP_CALLS));
  }

  figure(operation: string): Figure {
    const summary = summarise(this.#samples.get(operation) ?? [], UNITS[operation] ?? 'µs');
    return { operation, subject: this.#way.name, scale: 1, ...summary };
  }

  close(): void {
    this.#packets.close();
  }
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
