/** What nodes refuse, as a stream of events: in order, each once, and an end to it. */
import { describe, expect, test } from 'vitest';
import { EventStream } from '../../../controller/api/event-stream.ts';
import { DenialSubscription, MAX_WAITING } from '../../../controller/operations/denial-subscription.ts';
import { keys } from '../../../controller/store/keys.ts';
import { denial, end, KEPT, listen, PATH, start, TestAgent } from './denials-stage.ts';
import { until } from './fixture.ts';

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
