/**
 * What a packet costs to be forwarded from pod to pod on one node. A veth's other end does its work before the sender's call returns, so
 * the time of a call that sends many frames is the time they take all the way, the receiver's throwing away included.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { BackendName } from '../../dataplane/backends/isolation-backend.ts';
import { HOST_END_MAC } from '../../dataplane/ownership.ts';
import type { Figure, Part, PartResult, RunOptions, Target } from '../result.ts';
import { summarise } from '../sample.ts';
import { FrameTrain } from '../system/frame-train.ts';
import { installedTools } from '../tools.ts';
import { type Contestant, linearRules, NO_RULES, noRules, tenet, tenetName, trackingAlone } from './contestants.ts';
import type { ForwardingPath } from './forwarding-path.ts';
import { addressOf, FORBIDDEN, SENDER } from './known-world.ts';
import { udpFrame } from './udp-frame.ts';

/** Frames in one call, whose time is one run. */
const BATCH = 256;
/** Beyond these, none begins once time is up. */
const FEWEST_ROUNDS = 3;
/** Calls at the beginning of a turn that are not counted: the others had the caches. */
const WARM_UP = 8;
const ENDPOINTS = [
  ['100', 100],
  ['10k', 10_000],
  ['100k', 100_000],
] as const;
const BACKENDS: readonly BackendName[] = ['nftables', 'iptables'];
const LINEAR_RULES = [100, 1_000] as const;

const FORWARD = 'forward one packet';
const FIRST = 'forward the first packet of a flow';
/** What a turn does, and how it is reported. */
const RUNS = { hot: FORWARD, first: FIRST, cold: FORWARD } as const;
type Run = keyof typeof RUNS;

const WANTED_RATIO = 1.15;
const WANTED_GROWTH = 1.05;

export const packet: Part = {
  name: 'packet',
  title: 'One packet forwarded from pod to pod on a node',
  scale: 'flows',
  baseline: NO_RULES,
  charts: [
    { title: 'Forwarding one packet, of one flow or of many in random order', kind: 'bars', operations: [FORWARD] },
    { title: 'Forwarding the first packet of a flow', kind: 'bars', operations: [FIRST] },
  ],
  run: runPacket,
};

async function runPacket({ quick, signal, progress }: RunOptions): Promise<PartResult> {
  const tools = installedTools(['nft', 'iptables-legacy', 'iptables-nft']);
  const scratch = mkdtempSync(join(tmpdir(), 'tenet-bench-'));
  const most = mostFlows();
  const linear = ['iptables-legacy', 'iptables-nft'].filter((name) => name in tools);
  const lockFile = join(scratch, 'xtables.lock');
  const contestants = [
    noRules,
    trackingAlone,
    ...BACKENDS.flatMap((backend) => ENDPOINTS.map((known) => tenet(backend, known, most))),
    ...linear.flatMap((command) => LINEAR_RULES.map((rules) => linearRules(command, rules, lockFile))),
  ];
  const skipped: string[] = [];
  const racers: Racer[] = [];
  try {
    const trains = layTrains(most);
    for (const contestant of contestants) {
      signal.throwIfAborted();
      progress(`${contestant.name}: namespaces, links and rules`);
      await setImmediate();
      const racer = enter(contestant, trains, skipped);
      if (racer !== undefined) racers.push(racer);
    }
    const rounds = quick ? { count: 6, hot: 40, budgetMs: 30_000 } : { count: 30, hot: 100, budgetMs: 150_000 };
    const end = performance.now() + rounds.budgetMs;
    for (let round = 0; round <= rounds.count; round++) {
      if (round >= FEWEST_ROUNDS && performance.now() > end) break;
      if (round % 5 === 1) progress(`round ${round} of ${rounds.count}`);
      for (const racer of racers) {
        await setImmediate();
        signal.throwIfAborted();
        // The first is for compilers and caches.
        racer.turn(rounds.hot, round > 0);
      }
    }
    const figures = (['hot', 'cold', 'first'] as const).flatMap((run) => racers.flatMap((racer) => racer.figures(run)));
    return { figures, targets: judge(figures), tools, skipped };
  } finally {
    for (const racer of racers) racer.close();
    rmSync(scratch, { recursive: true });
  }
}

/** Destinations: as many as the kernel will track flows for and have room. */
function mostFlows(): number {
  let room = 131_072;
  try {
    room = Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8'));
  } catch {
    // not loaded yet: it will have room enough
  }
  return 2 ** Math.floor(Math.log2(Math.min(131_072, room) / 2));
}

interface Trains {
  readonly hot: FrameTrain;
  /** to every destination once, in random order */
  readonly cold: FrameTrain;
  readonly forbidden: FrameTrain;
}

function layTrains(destinations: number): Trains {
  const source = String(SENDER.ips[0]);
  const from = { source, sourceMac: SENDER.mac, destinationMac: HOST_END_MAC };
  const frameTo = (destination: string) => udpFrame({ ...from, destination });
  const all = Array.from({ length: destinations }, (_, index) => index);
  return {
    hot: new FrameTrain([frameTo(addressOf(0))], new Array<number>(BATCH).fill(0)),
    cold: new FrameTrain(
      all.map((index) => frameTo(addressOf(index))),
      shuffled(all),
    ),
    forbidden: new FrameTrain([frameTo(FORBIDDEN)], [0]),
  };
}

/** The same order in every run. */
function shuffled(list: readonly number[]): number[] {
  const result = [...list];
  let random = 1;
  for (let last = result.length - 1; last > 0; last--) {
    // Numerical Recipes' generator: any will do.
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((random / 2 ** 32) * (last + 1));
    [result[last], result[other]] = [result[other] ?? 0, result[last] ?? 0];
  }
  return result;
}

/** @returns undefined for one that this machine cannot run, which is named @throws Error without the baseline: nothing can be compared */
function enter(contestant: Contestant, trains: Trains, skipped: string[]): Racer | undefined {
  try {
    return new Racer(contestant, trains);
  } catch (error) {
    if (contestant === noRules) throw error;
    skipped.push(`${contestant.name}: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}

/** One contestant on its way, and the times it took. */
class Racer {
  readonly #contestant: Contestant;
  readonly #trains: Trains;
  readonly #path: ForwardingPath;
  readonly #times = new Map<Run, number[]>();

  /** @throws Error if it forwards what it must not, or not what it must: there is nothing to measure then */
  constructor(contestant: Contestant, trains: Trains) {
    this.#contestant = contestant;
    this.#trains = trains;
    this.#path = contestant.open();
    try {
      this.#expect('an allowed packet', 1, () => this.#path.send(trains.hot, 0, 1));
      this.#expect('a forbidden packet', contestant.isOpen ? 1 : 0, () => this.#path.send(trains.forbidden, 0, 1));
    } catch (error) {
      this.#path.close();
      throw error;
    }
  }

  turn(hotBatches: number, counts: boolean): void {
    const { hot, cold } = this.#trains;
    const { knowsAll } = this.#contestant;
    const frames = (hotBatches + WARM_UP) * BATCH + (knowsAll ? 2 * cold.length : 0);
    this.#expect(`${frames} packets`, frames, () => {
      for (let batch = -WARM_UP; batch < hotBatches; batch++) this.#timed('hot', hot, 0, counts && batch >= 0);
      if (!knowsAll) return;
      for (const run of ['first', 'cold'] as const)
        for (let from = 0; from < cold.length; from += BATCH) this.#timed(run, cold, from, counts);
    });
    if (knowsAll) this.#path.forgetFlows();
  }

  #timed(run: Run, train: FrameTrain, from: number, counts: boolean): void {
    const started = performance.now();
    this.#path.send(train, from, BATCH);
    const perPacketUs = ((performance.now() - started) * 1000) / BATCH;
    if (!counts) return;
    const times = this.#times.get(run);
    if (times === undefined) this.#times.set(run, [perPacketUs]);
    else times.push(perPacketUs);
  }

  #expect(what: string, arriving: number, send: () => void): void {
    const before = this.#path.arrived();
    send();
    const arrived = this.#path.arrived() - before;
    if (arrived !== arriving)
      throw new Error(`${this.#contestant.name}: of ${what}, ${arrived} arrived and not ${arriving}`);
  }

  figures(run: Run): Figure[] {
    const times = this.#times.get(run);
    if (times === undefined) return [];
    const scale = run === 'hot' ? 1 : this.#trains.cold.length;
    return [{ operation: RUNS[run], subject: this.#contestant.name, scale, ...summarise(times, 'µs') }];
  }

  close(): void {
    this.#path.close();
  }
}

function judge(figures: readonly Figure[]): Target[] {
  const median = (subject: string) =>
    figures.find((each) => each.subject === subject && each.operation === FORWARD && each.scale === 1)?.value ??
    Number.NaN;
  return BACKENDS.flatMap((backend) => {
    const ratios = ENDPOINTS.map(([count]) => median(tenetName(backend, count)) / median(NO_RULES));
    const worst = Math.max(...ratios);
    if (Number.isNaN(worst)) return [];
    const growth = (ratios.at(-1) ?? Number.NaN) / (ratios[0] ?? Number.NaN);
    return [
      {
        what: `Tenet ${backend} over ${NO_RULES}, one flow`,
        wanted: `≤ ${WANTED_RATIO} ×`,
        measured: `${worst.toFixed(2)} ×`,
        met: worst <= WANTED_RATIO,
      },
      {
        what: `Tenet ${backend}, 100k endpoints over 100`,
        wanted: `≤ ${WANTED_GROWTH} ×`,
        measured: `${growth.toFixed(2)} ×`,
        met: growth <= WANTED_GROWTH,
      },
    ];
  });
}
