/**
 * etcd is put back to an older copy while pods run: revisions are given a second time, to other changes. What is called enforced after
 * that is in the kernel, what nodes hold is claimed again before anything new is given out, and a pod whose tenant is lost is silent.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { endpointsOf, etcdDump, makeTenant, silentPairs, untilListed, untilReached } from './support/cluster.ts';
import { etcdctl, restoreEtcd } from './support/etcdctl.ts';

const WAIT = 'wait=enforced&timeout=60s';
let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
});
afterAll(() => lab?.close());

test('what is enforced, held and lost is so in the store that there is now', async () => {
  await makeTenant(lab, 'red');
  const one = await lab.attach('node1', { tenant: 'red', name: 'one' });
  const two = await lab.attach('node2', { tenant: 'red', name: 'two' });
  const pair = [
    [one, two],
    [two, one],
  ] as const;
  await untilReached(lab, pair);
  await untilListed(lab, 'red', [one, two]);
  const copy = `${lab.dir}/older.db`;
  await etcdctl(lab, 'snapshot', 'save', copy);

  // What the copy lacks: more revisions than it takes to be behind, pods, and a tenant.
  const late = await lab.attach('node1', { tenant: 'red', name: 'late' });
  await makeTenant(lab, 'lost');
  const stray = await lab.attach('node1', { tenant: 'lost' });
  const twin = await lab.attach('node2', { tenant: 'lost' });
  await untilReached(lab, [[stray, twin]]);
  /** Its own node's probe, and the outside, which answers every tenant. */
  const beyondTenants = async () => {
    const probe = await lab.prober(lab.host('node1')).ping(stray.ip);
    const out = await lab.prober(stray).ping(lab.outside.address);
    return [probe.outcome, out.outcome];
  };
  expect(await beyondTenants()).toEqual(['answered', 'answered']);
  for (let i = 0; i < 40; i++) await lab.rest('PATCH', '/v1/tenants/red', { labels: { round: `${i}` } });
  await restoreEtcd(lab, copy);

  // Answered by the store as it is now, be that before or after a node has noticed.
  const policy = { podSelector: {}, policyTypes: ['Ingress'], ingress: [] };
  const put = async () => {
    const answer = await lab.rest('PUT', `/v1/tenants/red/namespaces/red/policies/shut?${WAIT}`, policy);
    if (answer.status >= 500) throw new Error(JSON.stringify(answer.body));
    return answer;
  };
  const shut = await waitFor(put, { what: 'the policy is taken' });
  expect(await silentPairs(lab, pair)).toHaveLength(2);
  expect(shut.body).toMatchObject({ status: { enforced: true } });

  // The node claims again what the copy lacks.
  await untilListed(lab, 'red', [one, two, late]);
  const held = (await endpointsOf(lab, 'red')).find(({ containerId }) => containerId === late.id);
  expect(held?.ips).toEqual([late.ip]);
  const named = async () => {
    const { body } = await lab.rest<{ items: { kind: string; tenant?: string }[] }>('GET', '/v1/cluster/problems');
    const taken = body.items.filter(({ kind, tenant }) => kind === 'place_taken' && tenant === 'lost');
    if (taken.length < 2) throw new Error(JSON.stringify(body));
    return true;
  };
  await waitFor(named, { what: 'pods of the tenant that the copy lacks are told of' });
  expect(await silentPairs(lab, [[stray, twin]])).toHaveLength(1);
  expect(await beyondTenants()).not.toContain('answered');

  // Then new things are given out, and no place that a pod holds.
  const made = async () => {
    const { status, body } = await lab.rest('POST', '/v1/tenants', { name: 'new' });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return true;
  };
  await waitFor(made, { what: 'a tenant is made', timeoutMs: 60_000 });
  expect([...(await etcdDump(lab)).keys()]).not.toContain('recovery');
  const next = await lab.attach('node1', { tenant: 'red', name: 'next' });
  expect([one.ip, two.ip, late.ip]).not.toContain(next.ip);
  await lab.rest('DELETE', `/v1/tenants/red/namespaces/red/policies/shut?${WAIT}`);
  await untilReached(lab, [
    [late, two],
    [next, late],
    [two, next],
  ]);
});
