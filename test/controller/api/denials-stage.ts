/** Agents that tell what they refused, and listeners to the stream of it: what tests of denials stand on. */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Denial, DenialEnd, Denials } from '../../../controller/model/records.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { Compacted, type Store, type WatchBatch } from '../../../controller/store/store.ts';
import { parseIp } from '../../../dataplane/address.ts';
import { startApp, TOKEN } from './fixture.ts';

export const PATH = '/v1/tenants/blue/denials';
export const STARTED = '2026-11-24T11:00:00.000Z';
export const KEPT = 20;

/** Its watches can be broken, as by a compaction, and counted. */
class BreakableStore extends MemoryStore {
  readonly watched: string[] = [];
  #breaking = new AbortController();

  override async *watch(
    prefix: string,
    after: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    const breaking = this.#breaking.signal;
    this.watched.push(prefix);
    try {
      yield* super.watch(prefix, after, AbortSignal.any([signal, breaking]));
    } finally {
      this.watched.splice(this.watched.indexOf(prefix), 1);
    }
    if (breaking.aborted && !signal.aborted) throw new Compacted(after);
  }

  break(): void {
    this.#breaking.abort();
    this.#breaking = new AbortController();
  }
}

/** What an agent refused of blue's, kept as the agent keeps it. */
export class TestAgent {
  readonly #store: Store;
  readonly #node: string;
  readonly #started: string;
  #kept: Denial[] = [];
  #sequence = 0;

  constructor(store: Store, node: string, started = STARTED) {
    this.#store = store;
    this.#node = node;
    this.#started = started;
  }

  /** @param keep of these, the agent's record has only so many */
  async refuse(denials: readonly Partial<Denial>[], keep = KEPT): Promise<void> {
    const added = denials.map((each, index) => denial(this.#sequence + index + 1, each));
    this.#sequence += denials.length;
    this.#kept = [...this.#kept, ...added].slice(-keep);
    const record: Denials = { at: STARTED, sequence: this.#sequence, started: this.#started, denials: this.#kept };
    const key = keys.nodeDenials('blue', this.#node);
    await this.#store.commit([], [{ kind: 'put', key, value: formatRecord(record) }]);
  }
}

/** One so many seconds after the agent began. */
export function denial(second: number, fields: Partial<Denial>): Denial {
  return {
    at: new Date(Date.parse(STARTED) + second * 1000).toISOString(),
    from: end('shop'),
    to: end('db', 'web'),
    protocol: 'TCP',
    port: 5432,
    direction: 'ingress',
    ...fields,
  };
}

export function end(name: string, namespace = 'blue'): DenialEnd {
  return { ip: parseIp('10.128.4.17'), tenant: 'blue', namespace, name };
}

export async function start(store = new BreakableStore()) {
  const app = await startApp({ store });
  for (const name of ['blue', 'blue2']) expect((await app.call('POST', '/v1/tenants', { name })).status).toBe(201);
  return { ...app, memory: store, agent: new TestAgent(store, 'node1') };
}

interface Heard {
  readonly event: string;
  readonly id?: string;
  readonly data: Record<string, unknown>;
}

/** One who follows, over a real connection. */
class Listener {
  readonly response: IncomingMessage;
  readonly heard: Heard[] = [];
  isOver = false;
  #text = '';

  constructor(response: IncomingMessage) {
    this.response = response;
    response.setEncoding('utf8');
    response.on('data', (text: string) => this.#read(text));
    response.on('error', () => undefined); // 'close' follows
    response.on('close', () => {
      this.isOver = true;
    });
  }

  /** `1 2 3` */
  get sequences(): string {
    return this.heard.map(({ event, data }) => (event === 'denial' ? data.sequence : event)).join(' ');
  }

  #read(text: string): void {
    const blocks = (this.#text + text).split('\n\n');
    this.#text = blocks.pop() ?? '';
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
      const [event, id] = [field('event'), field('id')];
      if (event !== undefined) this.heard.push({ event, ...(id && { id }), data: JSON.parse(field('data') ?? '') });
    }
  }
}

/** Resolves when the controller listens, or has refused. */
export async function listen(
  app: { readonly app: Awaited<ReturnType<typeof startApp>>['app'] },
  query = 'follow=true',
  headers: Readonly<Record<string, string>> = {},
) {
  if (!app.app.server.listening) await app.app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.app.server.address() as AddressInfo;
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const request = get({
    port,
    host: '127.0.0.1',
    path: `${PATH}?${query}`,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(query.includes('follow') ? {} : { accept: 'text/event-stream' }),
      ...headers,
    },
    agent, // keeps connections, unless told not to
  });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  onTestFinished(() => void response.destroy());
  return new Listener(response);
}
