/**
 * One round: every way of a table tried at once with a packet of its own, as seen at both ends. Allowed is an answer; denied is silence,
 * and nothing having arrived, once a sentinel sent behind all packets is back; a refusal or a packet that arrives and is not answered is
 * neither. What should be allowed is tried again before it counts as silent: a packet may be lost to a busy machine, but none is late.
 */
import type { Sentinel } from '../lab/probe/sentinel.ts';
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

/** For what should be allowed and stayed silent: as often, until a sentinel is back each time. */
const LAST_CHANCES = 20;
/** Packets sent before all stations' sockets are read. */
const BURST = 60;

interface Probe extends Question {
  readonly id: number;
  observed: Observation;
  why?: string;
}

/** All stations of a scene. Rounds must not overlap. */
export class Probes {
  readonly #stations: () => readonly Station[];
  readonly #sentinel: Sentinel;
  readonly #late: string[] = [];
  #probes = new Map<number, Probe>();
  /** of earlier rounds, those that had to be denied */
  readonly #denied = new Map<number, string>();
  #ids = Math.floor(Math.random() * 2 ** 30);
  #port: number = SOURCE_PORTS.first;

  constructor(stations: () => readonly Station[], sentinel: Sentinel) {
    this.#stations = stations;
    this.#sentinel = sentinel;
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
    await this.#listen();
    const silent = () => probes.filter((probe) => probe.allowed && probe.observed !== 'allowed');
    for (let chance = 0; chance < LAST_CHANCES && silent().length > 0; chance++) {
      silent().forEach(send);
      await this.#listen();
    }
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

  /** Until a sentinel is back and there was nothing more to hear: what stations heard before, they have answered. */
  async #listen(): Promise<void> {
    do await this.#sentinel.pass();
    while (this.#drain() > 0);
  }

  /** @returns how much there was to hear */
  #drain(): number {
    let count = 0;
    for (const station of this.#stations())
      station.drain((heard) => {
        count++;
        this.#on(heard);
      });
    return count;
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

/** What our own kernel refuses shows as silence where no probe waits for an answer, and as a refusal where one does. */
function send(probe: Probe): void {
  const { id, from, address, way } = probe;
  const error = from.call({ id, address, protocol: way.protocol, port: way.port });
  if (error !== undefined) Object.assign(probe, { observed: 'refused', why: error });
}

export const say = ({ from, to, protocol, port }: Way): string => `${from} > ${to} ${protocol} ${port}`;
