/** Refused packets: listed, followed as events, counted; what agents write is put in by hand. */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { EventStream } from '../../../controller/api/event-stream.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Denial, DenialEnd, Denials } from '../../../controller/model/records.ts';
import { DenialSubscription, MAX_WAITING } from '../../../controller/operations/denial-subscription.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { Compacted, type Store, type WatchBatch } from '../../../controller/store/store.ts';
import { parseIp } from '../../../dataplane/address.ts';
import { putNode, startApp, TOKEN, until } from './fixture.ts';

const PATH = '/v1/tenants/blue/denials';
const STARTED = '2026-11-24T11:00:00.000Z';
const KEPT = 20;

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
class TestAgent {
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
function denial(second: number, fields: Partial<Denial>): Denial {
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

function end(name: string, namespace = 'blue'): DenialEnd {
  return { ip: parseIp('10.128.4.17'), tenant: 'blue', namespace, name };
}

async function start(store = new BreakableStore()) {
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
async function listen(
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

describe('the list', () => {
  test('has the latest of all nodes, newest first, each with its node', async () => {
    const { call, memory, agent } = await start();
    expect((await call('GET', PATH)).body.items).toEqual([]);
    await agent.refuse([{}, {}]);
    await new TestAgent(memory, 'node2').refuse([
      {
        at: '2026-11-24T11:00:01.500Z',
        from: { ip: parseIp('192.0.2.9') },
        protocol: 'ICMP',
        direction: 'egress',
        reason: 'flows',
      },
    ]);
    const { status, body } = await call('GET', PATH);
    expect(status).toBe(200);
    expect(body.items?.map(({ node, sequence }) => `${node}/${sequence}`)).toEqual(['node1/2', 'node2/1', 'node1/1']);
    expect(body.items?.[0]).toEqual({ ...denial(2, {}), reason: 'policy', node: 'node1', sequence: 2, count: 1 });
    expect(body.items?.[1]).toMatchObject({ from: { ip: '192.0.2.9' }, protocol: 'ICMP', reason: 'flows' });
  });

  test.each([
    ['limit=1', [4]],
    ['direction=egress', [3]],
    ['namespace=web', [4, 3, 2]],
    ['namespace=blue&direction=ingress', [4, 2]],
    ['namespace=red', []],
    ['since=2026-11-24T11:00:03Z', [4, 3]],
  ])('can be asked for less: %s', async (query, expected) => {
    const { call, agent } = await start();
    // Another tenant may have had a namespace of that name.
    const foreign = { ...end('x', 'web'), tenant: 'red' };
    await agent.refuse([{ from: foreign, to: foreign }, {}, { direction: 'egress' }, {}]);
    const { body } = await call('GET', `${PATH}?${query}`);
    expect(body.items?.map(({ sequence }) => sequence)).toEqual(expected);
  });

  test.each(['limit=0', 'limit=1001', 'direction=both', 'since=yesterday', 'since=2026-11-24', 'other=1'])(
    'refuses %s',
    async (query) => {
      const { call } = await start();
      const { status, body } = await call('GET', `${PATH}?${query}`);
      expect({ status, field: body.errors?.[0]?.field }).toEqual({ status: 400, field: query.split('=')[0] });
    },
  );

  test('passes over what cannot be read', async () => {
    const { call, store, agent } = await start();
    await agent.refuse([{}, { at: 'never' }, {}]);
    for (const [node, value] of [
      ['node2', '{"schema":9}'],
      ['node3', formatRecord({ denials: 'none' })],
    ] as const)
      await store.commit([], [{ kind: 'put', key: keys.nodeDenials('blue', node), value }]);
    expect((await call('GET', PATH)).body.items?.map(({ sequence }) => sequence)).toEqual([3, 1]);
  });

  test('is of a tenant that exists, and for HEAD a list whatever is asked', async () => {
    const { app, call } = await start();
    expect(await call('GET', '/v1/tenants/red/denials')).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect((await call('GET', '/v1/tenants/red/denials?follow=true')).status).toBe(404);
    const headers = { authorization: `Bearer ${TOKEN}` };
    const head = await app.inject({ method: 'HEAD', url: `${PATH}?follow=true`, headers });
    expect(head.headers['content-type']).toContain('application/json');
  });
});

describe('the stream', () => {
  test('tells of each denial once, from when it was opened', async () => {
    const app = await start();
    await app.agent.refuse([{}, {}]);
    const listener = await listen(app);
    expect(listener.response.headers).toMatchObject({
      'content-type': expect.stringMatching(/^text\/event-stream/),
      connection: 'close',
    });
    await app.agent.refuse([{}]);
    await app.agent.refuse([{}, {}]);
    await new TestAgent(app.memory, 'node2').refuse([{ direction: 'egress' }]);
    await until('four', () => listener.heard.length === 4);
    expect(listener.sequences).toBe('3 4 5 1');
    expect(listener.heard[0]).toEqual({
      event: 'denial',
      id: 'node1/3',
      data: { ...denial(3, {}), reason: 'policy', node: 'node1', sequence: 3, count: 1 },
    });
    expect(listener.heard[3]).toMatchObject({ id: 'node2/1,node1/5', data: { direction: 'egress' } });
  });

  test('is opened by what is accepted as well, filters, and begins with what is known since a time', async () => {
    const app = await start();
    await app.agent.refuse([{}, {}, { direction: 'egress' }, {}]);
    const listener = await listen(app, 'direction=ingress&since=2026-11-24T11:00:02Z');
    await app.agent.refuse([{ direction: 'egress' }, {}]);
    await until('the last', () => listener.sequences.endsWith('6'));
    expect(listener.sequences).toBe('2 4 6');
  });

  test('loses nothing and tells nothing twice over breaks of the watch', async () => {
    const app = await start();
    await app.agent.refuse([{}]);
    const listener = await listen(app);
    await app.agent.refuse([{}]);
    await until('one', () => listener.heard.length === 1);
    for (let round = 0; round < 3; round++) {
      app.memory.failNext('unavailable', 'list');
      app.memory.break();
      await app.agent.refuse([{}]);
      await app.agent.refuse([{}]);
    }
    // A node that was unknown before the break is news, whole.
    app.memory.break();
    await new TestAgent(app.memory, 'node2').refuse([{}, {}]);
    await until('all', () => listener.heard.length >= 9);
    await app.agent.refuse([{}]);
    await until('the last', () => listener.sequences.endsWith(' 9'));
    expect(listener.sequences).toBe('2 3 4 5 6 7 8 1 2 9');
  });

  test('says how many more there were than the agent keeps', async () => {
    const app = await start();
    const listener = await listen(app);
    await app.agent.refuse(Array.from({ length: 100 }, () => ({})));
    await until('the last', () => listener.sequences.endsWith('100'));
    expect(listener.heard[0]).toEqual({ event: 'skipped', data: { count: 80 } });
    expect(listener.heard).toHaveLength(21);
  });

  test('knows an agent that began anew, and one whose record was deleted and written again', async () => {
    const app = await start();
    await app.agent.refuse([{}, {}]);
    const listener = await listen(app);
    await app.memory.commit([], [{ kind: 'delete', key: keys.nodeDenials('blue', 'node1') }]);
    await app.agent.refuse([{}]);
    await until('the third', () => listener.heard.length === 1);
    const anew = new TestAgent(app.memory, 'node1', '2026-11-24T12:00:00.000Z');
    await anew.refuse([{}]);
    await anew.refuse([{}, {}, {}]);
    await until('all', () => listener.heard.length === 5);
    expect(listener.sequences).toBe('3 1 2 3 4');
  });

  test('goes on for a reader that comes again behind what it took last, whatever came meanwhile', async () => {
    const app = await start();
    const other = new TestAgent(app.memory, 'node2');
    await app.agent.refuse([{}, {}]);
    const first = await listen(app);
    await app.agent.refuse([{}]);
    await other.refuse([{ direction: 'egress' }]);
    await until('two', () => first.heard.length === 2);
    const [id] = first.heard.map((each) => each.id).slice(-1);
    first.response.destroy();
    await app.agent.refuse([{}, {}]);
    await other.refuse([{}]);
    await new TestAgent(app.memory, 'node3').refuse([{}]);
    const again = await listen(app, '', { 'last-event-id': String(id) });
    await app.agent.refuse([{}]);
    await until('all', () => again.sequences.endsWith(' 6'));
    expect(again.heard.map(({ data }) => `${data.node}/${data.sequence}`).sort()).toEqual(
      ['node1/4', 'node1/5', 'node1/6', 'node2/2', 'node3/1'].sort(),
    );
    // One that was cut off before it took anything has the id of the beginning.
    const begun = await listen(app, '', { 'last-event-id': 'node1/4,node2/2,node3/1' });
    await app.agent.refuse([{}]);
    await until('both', () => begun.sequences.endsWith(' 7'));
    expect(begun.sequences).toBe('5 6 7');
  });

  test('says how many more a reader that comes again has missed', async () => {
    const app = await start();
    await app.agent.refuse(Array.from({ length: 100 }, () => ({})));
    const listener = await listen(app, '', { 'last-event-id': 'node1/10' });
    await until('the last', () => listener.sequences.endsWith('100'));
    expect(listener.heard[0]).toMatchObject({ event: 'skipped', data: { count: 70 } });
  });

  test('refuses an id that no stream gave', async () => {
    const { call } = await start();
    const { status, body } = await call('GET', `${PATH}?follow=true`, undefined, { 'last-event-id': 'x' });
    expect({ status, field: body.errors?.[0]?.field }).toEqual({ status: 400, field: 'Last-Event-ID' });
  });

  test('ends with `gone` when the tenant is deleted, not when one of a longer name is', async () => {
    const app = await start();
    const listener = await listen(app);
    expect((await app.call('DELETE', '/v1/tenants/blue2')).status).toBe(204);
    await app.agent.refuse([{}]);
    await until('one', () => listener.heard.length === 1);
    expect((await app.call('DELETE', '/v1/tenants/blue')).status).toBe(204);
    await until('the end', () => listener.isOver);
    expect(listener.sequences).toBe('1 gone');
    expect(listener.response.complete).toBe(true);
    expect((await app.store.list(keys.denials('blue'))).entries).toEqual([]);
    await until('nothing is followed', () => app.memory.watched.every((prefix) => !prefix.includes('blue')));
  });

  test('ends when the tenant was deleted and made again while the watch was broken', async () => {
    const app = await start();
    const listener = await listen(app);
    for (let times = 0; times < 2; times++) app.memory.failNext('unavailable', 'list');
    app.memory.break();
    const { entry } = await app.memory.get(keys.tenant('blue'));
    await app.memory.commit([], [{ kind: 'delete', key: keys.tenant('blue') }]);
    await app.memory.commit([], [{ kind: 'put', key: keys.tenant('blue'), value: entry?.value ?? '' }]);
    await until('the end', () => listener.isOver);
    expect(listener.sequences).toBe('gone');
  });

  test('takes one watch for all who listen to a tenant, and none once they have gone', async () => {
    const app = await start();
    const blue = () => app.memory.watched.filter((prefix) => prefix.includes('blue')).sort();
    const listeners = await Promise.all([listen(app), listen(app), listen(app, 'follow=true&direction=egress')]);
    await app.agent.refuse([{}, { direction: 'egress' }]);
    await until('all heard', () => listeners.map(({ sequences }) => sequences).join(';') === '1 2;1 2;2');
    expect(blue()).toEqual(['denials/blue/', 'tenants/blue']);
    listeners[0]?.response.destroy();
    listeners[1]?.response.destroy();
    await app.agent.refuse([{ direction: 'egress' }]);
    await until('the third goes on', () => listeners[2]?.sequences === '2 3');
    listeners[2]?.response.destroy();
    await until('no listener is left', () => app.registry.denials.tenants.length === 0 && blue().length === 0);
    const again = await listen(app);
    await app.agent.refuse([{}]);
    await until('it begins anew', () => again.sequences === '4');
  });

  test('does not hold up the controller’s end, and is refused from then on', async () => {
    const app = await start();
    const listener = await listen(app);
    await app.registry.denials.close();
    await until('the end', () => listener.isOver);
    expect(listener.response.complete).toBe(true);
    expect(await app.call('GET', `${PATH}?follow=true`)).toMatchObject({ status: 503, body: { code: 'unavailable' } });
  });

  test('does not hold up the application’s end', async () => {
    const app = await start();
    const listener = await listen(app);
    await app.app.close();
    await until('the end', () => listener.isOver);
    expect(listener.response.complete).toBe(true);
  });

  test('waits for the store to say what there is, and not for ever when the controller ends', async () => {
    const app = await start();
    let isAway = true;
    const list = app.memory.list.bind(app.memory);
    app.memory.list = async (prefix, options) => {
      if (isAway && prefix.startsWith('denials/')) app.memory.failNext('unavailable', 'list');
      return await list(prefix, options);
    };
    const refused = app.call('GET', `${PATH}?follow=true`);
    await until('it waits', () => app.registry.denials.tenants.length === 1);
    await app.registry.denials.close();
    expect((await refused).status).toBe(503);
    isAway = false;
  });

  test('drops the oldest for a slow reader and tells how many', async () => {
    const app = await start();
    const listener = await listen(app);
    listener.response.pause();
    const other = await listen(app);
    const name = 'x'.repeat(4000); // more than sockets buffer, in few events
    const rounds = 250;
    for (let round = 0; round < rounds; round++) {
      await app.agent.refuse(Array.from({ length: KEPT }, () => ({ from: end(name) })));
      await until('the other reader keeps up', () => other.heard.length === (round + 1) * KEPT);
    }
    listener.response.resume();
    const total = rounds * KEPT;
    await until('the last', () => listener.sequences.endsWith(` ${total}`));
    const counts = listener.heard.filter(({ event }) => event === 'skipped').map(({ data }) => Number(data.count));
    expect(counts).toEqual([expect.any(Number)]);
    const denials = listener.heard.filter(({ event }) => event === 'denial');
    expect(denials.length + (counts[0] ?? 0)).toBe(total);
    expect(listener.heard.length - listener.heard.findIndex(({ event }) => event === 'skipped')).toBeLessThanOrEqual(
      MAX_WAITING + 1,
    );
    const order = denials.map(({ data }) => Number(data.sequence));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
  }, 60_000);
});

test('an idle stream shows that it is alive', async () => {
  const stream = new EventStream(
    new DenialSubscription(
      () => true,
      () => undefined,
    ),
    1,
  );
  let text = '';
  for await (const chunk of stream) {
    text += chunk;
    if (text.endsWith('\n\n:\n\n:\n\n')) break;
  }
  expect(text).toMatch(/^: .*\n\n(:\n\n)+$/);
});

test('forgetting a node forgets what it refused and counted', async () => {
  const { call, store, agent } = await start();
  const other = new TestAgent(store, 'node2');
  for (const node of ['node1', 'node2']) await putNode(store, node, { live: false });
  for (const each of [agent, other]) await each.refuse([{}]);
  for (const node of ['node1', 'node2'])
    await store.commit([], [{ kind: 'put', key: keys.traffic(node), value: formatRecord({ tenants: {} }) }]);
  expect((await call('DELETE', '/v1/nodes/node1')).status).toBe(204);
  const left = [...(await store.list('denials/')).entries, ...(await store.list('traffic/')).entries];
  expect(left.map(({ key }) => key)).toEqual(['denials/blue/node2', 'traffic/node2']);
});

describe('metrics', () => {
  async function scrape({ call }: Pick<Awaited<ReturnType<typeof start>>, 'call'>): Promise<string[]> {
    const { status, body } = await call('GET', '/metrics');
    expect(status).toBe(200);
    const lines = String(body.text).split('\n');
    return lines.filter((line) => line.startsWith('tenet_tenant_packets_total')).sort();
  }

  test('count packets of tenants by node, as nodes say', async () => {
    const app = await start();
    const say = async (node: string, tenants: object) =>
      await app.store.commit(
        [],
        [{ kind: 'put', key: keys.traffic(node), value: formatRecord({ at: STARTED, tenants }) }],
      );
    expect(await scrape(app)).toEqual([]);
    await say('node1', { blue: { allowed: 5, denied: 2 }, blue2: { allowed: 1, denied: 0 } });
    await say('node2', { blue: { allowed: 7, denied: 0 } });
    await scrape(app);
    await say('node1', { blue: { allowed: 6, denied: 2 }, broken: { allowed: 'x' } });
    await app.store.commit([], [{ kind: 'put', key: keys.traffic('node3'), value: 'not JSON' }]);
    expect(await scrape(app)).toEqual([
      'tenet_tenant_packets_total{tenant="blue",node="node1",verdict="allowed"} 6',
      'tenet_tenant_packets_total{tenant="blue",node="node1",verdict="denied"} 2',
      'tenet_tenant_packets_total{tenant="blue",node="node2",verdict="allowed"} 7',
      'tenet_tenant_packets_total{tenant="blue",node="node2",verdict="denied"} 0',
    ]);
    // Packets and problems are read at once.
    for (const _ of ['packets', 'problems']) app.memory.failNext('unavailable', 'list');
    expect(await scrape(app)).toEqual([]);
    expect(await scrape(app)).toHaveLength(4);
  });
});
