/**
 * One round: every way of a table tried at once with a packet of its own, as seen at both ends. Allowed is an answer; denied is silence,
 * and nothing having arrived; a refusal or a packet that arrives and is not answered is neither. What should be allowed is tried again
 * before it counts as silent, for a packet may be lost to a busy machine; what should be denied has one chance to show that it is not.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Heard, SOURCE_PORTS, type Station } from './station.ts';
import type { Way } from './truth.ts';

export type Observation = 'allowed' | 'denied' | 'refused' | 'arrived';

export interface Cell {
  readonly way: Way;
  readonly expected: 'allowed' | 'denied';
  readonly observed: Observation;
  /** of a refusal */
  readonly why?: string;
}

export interface Question {
  readonly way: Way;
  readonly allowed: boolean;
  readonly from: Station;
  /** of the far end */
  readonly address: string;
}

/** A packet that gets through needs no longer than this after the last one was sent, or than thrice the slowest answer of its round. */
const SILENCE_MS = 120;
const REPEAT_MS = [60, 120] as const;
const PATIENCE_MS = 250;
/** For what should be allowed and stayed silent: alone, and often. */
const LAST_CHANCE_MS = 3000;
const LAST_CHANCE_REPEAT_MS = 100;
/** Packets sent before everybody's sockets are read. */
const BURST = 60;

interface Probe extends Question {
  readonly id: number;
  observed: Observation;
  why?: string;
}

/** All stations of a scene. Rounds must not overlap. */
export class Probes {
  readonly #stations: () => readonly Station[];
  readonly #late: string[] = [];
  #probes = new Map<number, Probe>();
  /** of earlier rounds, those that had to be denied */
  readonly #denied = new Map<number, string>();
  #ids = Math.floor(Math.random() * 2 ** 30);
  #port: number = SOURCE_PORTS.first;

  constructor(stations: () => readonly Station[]) {
    this.#stations = stations;
  }

  /** Packets that had to be denied and came through after their round was over: words for a person, given once. */
  takeLate(): readonly string[] {
    return this.#late.splice(0);
  }

  /** @param name of the round, for what comes late */
  async ask(questions: readonly Question[], name: string): Promise<readonly Cell[]> {
    this.#begin();
    const probes = questions.map((question): Probe => ({ ...question, id: this.#nextId(), observed: 'denied' }));
    this.#probes = new Map(probes.map((probe) => [probe.id, probe]));
    for (const [index, probe] of probes.entries()) {
      send(probe);
      if (index % BURST === BURST - 1) this.#drain();
    }
    await this.#listen(probes);
    await this.#listenAgain(probes.filter((probe) => probe.allowed && probe.observed !== 'allowed'));
    for (const { id, allowed, way } of probes) if (!allowed) this.#denied.set(id, `${name}: ${say(way)}`);
    return probes.map(({ way, allowed, observed, why }) => ({
      way,
      expected: allowed ? 'allowed' : 'denied',
      observed,
      ...(why !== undefined && { why }),
    }));
  }

  #begin(): void {
    this.#port = this.#port >= SOURCE_PORTS.last ? SOURCE_PORTS.first : this.#port + 1;
    for (const station of this.#stations()) station.begin(this.#port);
  }

  async #listen(probes: readonly Probe[]): Promise<void> {
    const started = performance.now();
    const repeats = [...REPEAT_MS];
    let slowest = 0;
    const waiting = () => probes.filter((probe) => probe.allowed && probe.observed !== 'allowed');
    const mustWait = probes.some(({ allowed }) => !allowed);
    for (;;) {
      this.#drain();
      const elapsed = performance.now() - started;
      const open = waiting();
      if (open.length > 0) slowest = elapsed;
      if (open.length === 0 && (!mustWait || elapsed > Math.max(SILENCE_MS, 3 * slowest))) return;
      if (open.length > 0 && elapsed > PATIENCE_MS) return;
      if (elapsed > (repeats[0] ?? Number.POSITIVE_INFINITY)) {
        repeats.shift();
        open.forEach(send);
      }
      await sleep(2);
    }
  }

  async #listenAgain(silent: readonly Probe[]): Promise<void> {
    const deadline = performance.now() + LAST_CHANCE_MS;
    let next = 0;
    while (silent.some(({ observed }) => observed !== 'allowed') && performance.now() < deadline) {
      if (performance.now() >= next) {
        for (const probe of silent) if (probe.observed !== 'allowed') send(probe);
        next = performance.now() + LAST_CHANCE_REPEAT_MS;
      }
      await sleep(2);
      this.#drain();
    }
  }

  #drain(): void {
    for (const station of this.#stations()) station.drain((heard) => this.#on(heard));
  }

  #on({ id, kind, why }: Heard): void {
    const probe = this.#probes.get(id);
    if (probe === undefined) {
      const whose = this.#denied.get(id);
      if (whose !== undefined) this.#late.push(`${whose} ${kind} after its round`);
      return;
    }
    if (probe.observed === 'allowed') return;
    if (kind === 'answered') probe.observed = 'allowed';
    else if (kind === 'refused') Object.assign(probe, { observed: 'refused', why });
    else if (probe.observed === 'denied') probe.observed = 'arrived';
  }

  #nextId(): number {
    this.#ids = (this.#ids + 1) >>> 0 || 1;
    return this.#ids;
  }
}

/** What our own kernel refuses shows as silence where nobody waits for an answer, and as a refusal where somebody does. */
function send(probe: Probe): void {
  const { id, from, address, way } = probe;
  const error = from.call({ id, address, protocol: way.protocol, port: way.port });
  if (error !== undefined) Object.assign(probe, { observed: 'refused', why: error });
}

export const say = ({ from, to, protocol, port }: Way): string => `${from} > ${to} ${protocol} ${port}`;
