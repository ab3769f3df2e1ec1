/**
 * Flows between two pods that go on whatever happens: UDP and TCP, both ways, sent by processes of their own. What arrives is heard on the
 * pods' links with the kernel's times, and when the kernel's rules changed is heard on a node.
 */
import { type ChildProcess, type ChildProcessByStdio, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { withNetns } from '../../dataplane/system/netns.ts';
import type { Container } from '../../test/lab/container.ts';
import { netnsPath } from '../../test/lab/probe/netns-path.ts';
import { PacketTap } from '../system/packet-tap.ts';

export const PROTOCOLS = ['UDP', 'TCP'] as const;
export type FlowProtocol = (typeof PROTOCOLS)[number];

/** A packet that arrived, at microseconds since 1970. */
export interface Arrival {
  readonly protocol: FlowProtocol;
  readonly to: Container;
  readonly atUs: number;
}

type Child = ChildProcessByStdio<null, Readable, null>;

const NUMBERS: ReadonlyMap<number | undefined, FlowProtocol> = new Map([
  [6, 'TCP'],
  [17, 'UDP'],
]);
/** Of the IP header behind that of Ethernet. */
const PROTOCOL_AT = 14 + 9;
const SOURCE_AT = 14 + 12;
const PORT = { tcp: 5201, udp: 5202 } as const;

export class FlowPair {
  readonly #ends: readonly [Container, Container];
  readonly #taps: readonly { readonly to: Container; readonly from: string; readonly tap: PacketTap }[];
  readonly #children: ChildProcess[] = [];

  /** @throws Error if an end cannot be started */
  static async start(one: Container, other: Container): Promise<FlowPair> {
    const pair = new FlowPair(one, other);
    try {
      await pair.#send();
      return pair;
    } catch (error) {
      pair.close();
      throw error;
    }
  }

  private constructor(one: Container, other: Container) {
    this.#ends = [one, other];
    const tap = (to: Container, from: Container) => ({
      to,
      from: from.ip,
      tap: new PacketTap((work) => withNetns(netnsPath(to.netns), work), to.ifname),
    });
    this.#taps = [tap(one, other), tap(other, one)];
  }

  get ends(): readonly [Container, Container] {
    return this.#ends;
  }

  /** What has arrived since this was last asked, in order at each end. */
  arrivals(): Arrival[] {
    const arrivals: Arrival[] = [];
    for (const { to, from, tap } of this.#taps) {
      for (let heard = tap.next(); heard !== undefined; heard = tap.next()) {
        const protocol = NUMBERS.get(heard.frame[PROTOCOL_AT]);
        const source = heard.frame.subarray(SOURCE_AT, SOURCE_AT + 4).join('.');
        if (protocol !== undefined && source === from) arrivals.push({ protocol, to, atUs: heard.atUs });
      }
    }
    return arrivals;
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const { tap } of this.#taps) tap.close();
  }

  async #send(): Promise<void> {
    const [one, other] = this.#ends;
    const ports = [String(PORT.tcp), String(PORT.udp)];
    const listening = startWorker('flow-worker.js', other.netns, ['listen', one.ip, ...ports]);
    this.#children.push(listening);
    await saysReady(listening);
    this.#children.push(startWorker('flow-worker.js', one.netns, ['connect', other.ip, ...ports]));
  }
}

/** When a node's rules were changed, as its kernel tells everybody. */
export class Transactions {
  readonly #child: Child;
  #heard = '';

  static async listen(netns: string): Promise<Transactions> {
    const child = startWorker('transaction-worker.js', netns, []);
    try {
      await saysReady(child);
      return new Transactions(child);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  private constructor(child: Child) {
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#heard += text));
  }

  /** The last of those between two times. @returns undefined where none was heard */
  lastBetween(fromUs: number, toUs: number): number | undefined {
    const lines = this.#heard.split('\n');
    this.#heard = lines.pop() ?? '';
    return lines.map(Number).findLast((atUs) => atUs >= fromUs && atUs <= toUs);
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}

function startWorker(file: string, netns: string, args: readonly string[]): Child {
  const worker = join(import.meta.dirname, file);
  return withNetns(netnsPath(netns), () =>
    spawn(process.execPath, [worker, ...args], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
}

function saysReady(child: Child): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${child.spawnargs.join(' ')} ended with ${code}`)));
    child.stdout.once('data', () => resolve());
  });
}
