/** What is wrong in the cluster, as REST, metrics and nodes' own views tell it: by name, place and tenant, the oldest first. */
import { expect, test } from 'vitest';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import { type NodeProblems, PROBLEM_KINDS, type Problem } from '../../../controller/model/problems.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Store } from '../../../controller/store/store.ts';
import { putNode, startApp } from './fixture.ts';

const refused: Problem = {
  kind: 'kernel_refused',
  about: 'link tnt42',
  tenant: 'blue',
  since: '2026-01-02T00:00:00Z',
  text: 'RTM_NEWLINK link tnt42: EEXIST',
};
const unreadable: Problem = {
  kind: 'record_unreadable',
  about: 'nodes/node9',
  since: '2026-01-01T00:00:00Z',
  text: 'nodes/node9: has schema 9, this version reads 1',
};

const tell = (store: Store, node: string, said: NodeProblems) =>
  store.commit([], [{ kind: 'put', key: keys.problems(node), value: formatRecord(said) }]);

test('are none in a cluster that is well', async () => {
  const { call } = await startApp();
  const { status, body } = await call('GET', '/v1/cluster/problems');
  expect(status).toBe(200);
  expect(body).toMatchObject({ items: [], more: 0 });
});

test('of nodes and of the controller are told together, each with its place and what to do', async () => {
  const { call, store, registry } = await startApp();
  await tell(store, 'node1', { problems: [refused], more: 7 });
  await tell(store, 'node2', { problems: [unreadable] });
  registry.book.note('not_followed', { about: 'claims/', text: 'stumbled' });
  const { body } = await call('GET', '/v1/cluster/problems');
  const own = { kind: 'not_followed', about: 'claims/', controller: 'controller1', text: 'stumbled' };
  expect(body.items).toMatchObject([{ ...unreadable, node: 'node2' }, { ...refused, node: 'node1' }, own]);
  expect(body.items?.map(({ remedy }) => remedy)).toEqual(
    (['record_unreadable', 'kernel_refused', 'not_followed'] as const).map((kind) => PROBLEM_KINDS[kind].remedy),
  );
  expect(body.more).toBe(7);
  const first = await call('GET', '/v1/cluster/problems?limit=1');
  expect(first.body).toMatchObject({ items: [{ about: 'nodes/node9' }], more: 9 });
});

test('of a tenant are its own alone', async () => {
  const { call, store } = await startApp();
  for (const name of ['blue', 'red']) expect((await call('POST', '/v1/tenants', { name })).status).toBe(201);
  await tell(store, 'node1', { problems: [refused, unreadable] });
  const ofBlue = await call('GET', '/v1/tenants/blue/problems');
  expect(ofBlue.body.items).toMatchObject([{ about: 'link tnt42', tenant: 'blue' }]);
  expect((await call('GET', '/v1/tenants/red/problems')).body.items).toEqual([]);
  expect((await call('GET', '/v1/tenants/green/problems')).status).toBe(404);
});

test('of a node are in its own view, in the list of nodes, and go with the node', async () => {
  const { call, store } = await startApp();
  await putNode(store, 'node1', { live: false });
  await putNode(store, 'node2');
  await tell(store, 'node1', { problems: [refused] });
  expect((await call('GET', '/v1/nodes/node1')).body.problems).toMatchObject([{ about: 'link tnt42' }]);
  const list = await call('GET', '/v1/nodes');
  expect(list.body.items?.map(({ problems }) => (problems as unknown[]).length)).toEqual([1, 0]);
  expect((await call('DELETE', '/v1/nodes/node1')).status).toBe(204);
  expect((await store.get(keys.problems('node1'))).entry).toBeUndefined();
  expect((await call('GET', '/v1/cluster/problems')).body.items).toEqual([]);
});

test('that cannot be read are one, and hide no other', async () => {
  const { call, store } = await startApp();
  await tell(store, 'node1', { problems: [refused, { ...refused, kind: 'of_the_future' as 'fault' }] });
  await store.commit([], [{ kind: 'put', key: keys.problems('node2'), value: '{"schema":9}' }]);
  const { body } = await call('GET', '/v1/cluster/problems');
  expect(body.items).toMatchObject([
    { kind: 'kernel_refused', node: 'node1' },
    { kind: 'record_unreadable', about: 'problems/node2', node: 'node2' },
  ]);
});

test('are counted by kind and place', async () => {
  const { call, store, registry } = await startApp();
  await tell(store, 'node1', { problems: [refused, { ...refused, about: 'link tnt43' }] });
  registry.book.note('fault', { about: 'rules', text: 'x' });
  const { body } = await call('GET', '/metrics');
  expect(body.text).toContain('tenet_problems{kind="kernel_refused",node="node1",controller=""} 2');
  expect(body.text).toContain('tenet_problems{kind="fault",node="",controller="controller1"} 1');
});
