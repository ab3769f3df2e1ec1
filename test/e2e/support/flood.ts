/**
 * Floods: flows of numbered messages, many at once, out of a process of their own, for as long as a test breaks and mends things. Says what
 * was sent, what arrived and what came back; the few assertions every flood ends in are here too.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'vitest';
import { waitFor } from '../../lab/probe/deadline.ts';
import { ROOT } from '../../lab/services.ts';

export interface FloodFlow {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  /** name of the sender's namespace */
  readonly from: string;
  /** name of the receiver's namespace */
  readonly to: string;
  /** the receiver's */
  readonly address: string;
  readonly port: number;
  readonly intervalMs: number;
  readonly forbidden: boolean;
}

export interface FlowCount {
  readonly name: string;
  readonly sent: number;
  /** messages that arrived at the far end */
  readonly delivered: number;
  /** messages that came back */
  readonly echoed: number;
  /** numbers of the first ten that did not come back; of TCP none */
  readonly firstMissing: readonly number[];
  /** how often the sender's own kernel refused, by errno's name */
  readonly errors: Readonly<Record<string, number>>;
}

export type FloodOrder =
  | { readonly op: 'start'; readonly flows: readonly FloodFlow[] }
  | { readonly op: 'count' }
  | { readonly op: 'settle' }
  | { readonly op: 'stop' };

/** What a flow joins: a container, or a node that has an address. */
interface End {
  readonly netns: string;
}

/** A flow that must not lose a message. UDP every 2 ms, TCP every 5 ms, unless given. */
export function allowed(
  protocol: 'tcp' | 'udp',
  name: string,
  from: End,
  to: End & { readonly ip: string },
  port: number,
  intervalMs = protocol === 'udp' ? 2 : 5,
): FloodFlow {
  return { name, protocol, from: from.netns, to: to.netns, address: to.ip, port, intervalMs, forbidden: false };
}

/** A flow none of which may arrive; the port has to be one that an allowed flow of the same flood reaches. */
export function forbidden(
  name: string,
  from: End,
  to: End & { readonly ip: string },
  port: number,
  intervalMs?: number,
): FloodFlow {
  return { ...allowed('udp', name, from, to, port, intervalMs), forbidden: true };
}

export class Flood {
  readonly #child: ChildProcess;
  readonly #flows: readonly FloodFlow[];
  #orders: Promise<unknown> = Promise.resolve();

  private constructor(child: ChildProcess, flows: readonly FloodFlow[]) {
    this.#child = child;
    this.#flows = flows;
  }

  /** Resolves once something has come back on every allowed flow. @throws WaitTimeout naming those that stay silent */
  static async start(flows: readonly FloodFlow[]): Promise<Flood> {
    const worker = join(ROOT, 'dist/test/e2e/support/flood-worker.js');
    const child = fork(worker, { cwd: ROOT, execArgv: [], stdio: 'inherit' });
    const flood = new Flood(child, flows);
    await flood.#order({ op: 'start', flows });
    await flood.passes(1);
    return flood;
  }

  /** Resolves once so many more messages of every allowed flow have come back. @throws WaitTimeout naming those that stay silent */
  async passes(messages: number): Promise<void> {
    const before = await this.counts();
    const look = async () => {
      const now = await this.counts();
      const silent = this.#flows.filter(({ forbidden: isForbidden }, index) => {
        const more = (now[index]?.echoed ?? 0) - (before[index]?.echoed ?? 0);
        return !isForbidden && more < messages;
      });
      if (silent.length > 0) throw new Error(`silent are ${silent.map(({ name }) => name).join(', ')}`);
      return true;
    };
    await waitFor(look, { what: 'every allowed flow passes' });
  }

  counts(): Promise<readonly FlowCount[]> {
    return this.#order({ op: 'count' });
  }

  /** Of what has been sent by now, how much arrived and came back: no message of UDP is under way any more. The flood goes on. */
  settled(): Promise<readonly FlowCount[]> {
    return this.#order({ op: 'settle' });
  }

  /** Ends the flood and expects that not one message of an allowed flow was lost, and that not one of a forbidden flow arrived. */
  async stopUnharmed(): Promise<void> {
    const counts = await this.#order({ op: 'stop' });
    this.close();
    const faults = counts.filter((count, index) =>
      this.#flows[index]?.forbidden ? count.delivered > 0 || count.sent === 0 : count.echoed < count.sent,
    );
    expect(faults, 'flows that lost or gained messages').toEqual([]);
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }

  /** One answer to each order, in their order. */
  #order(order: FloodOrder): Promise<readonly FlowCount[]> {
    const answer = this.#orders.then(async () => {
      if (this.#child.exitCode !== null) throw new Error(`the flood ended with ${this.#child.exitCode}`);
      this.#child.send(order);
      const abort = new AbortController();
      const ended = once(this.#child, 'exit', { signal: abort.signal }).then(() => {
        throw new Error('the flood ended');
      });
      const [counts] = await Promise.race([once(this.#child, 'message', { signal: abort.signal }), ended]);
      ended.catch(() => undefined);
      abort.abort();
      return counts as readonly FlowCount[];
    });
    this.#orders = answer.catch(() => undefined);
    return answer;
  }
}
