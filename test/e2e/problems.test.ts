/**
 * Another program has taken the place of one tenant's overlay: that tenant's changes are not called enforced and the reason is told
 * everywhere; the other tenants' are, and their packets obey.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { run } from '../lab/fabric.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { makeTenant, silentPairs, type TenantView, untilReached } from './support/cluster.ts';

interface Answer {
  readonly status?: { readonly enforced: boolean; readonly lagging?: readonly string[] };
  readonly items?: readonly {
    readonly about: string;
    readonly node: string;
    readonly tenant: string;
    readonly text: string;
  }[];
}

const DENY = { podSelector: {}, policyTypes: ['Ingress'] };

let lab: Lab;
let red: TenantView;
let ofRed: readonly [Container, Container];
let ofBlue: readonly [Container, Container];

beforeAll(async () => {
  lab = await startLab({ nodes: 2, gateways: 1 });
  red = await makeTenant(lab, 'red');
  await makeTenant(lab, 'blue');
  await inNode1('add', 'other0', 'type', 'vxlan', 'id', String(red.vni), 'dstport', '4789');
  ofBlue = [await lab.attach('node1', { tenant: 'blue' }), await lab.attach('node2', { tenant: 'blue' })];
  ofRed = [await lab.attach('node1', { tenant: 'red' }), await lab.attach('node1', { tenant: 'red' })];
  await untilReached(lab, both(ofBlue));
});
afterAll(() => lab?.close());

const inNode1 = (...args: readonly string[]) =>
  run(['ip', 'netns', 'exec', lab.host('node1').netns, 'ip', 'link', ...args]);

const both = ([one, two]: readonly [Container, Container]) => [[one, two] as const, [two, one] as const];

async function policy(method: 'PUT' | 'DELETE', tenant: string, timeout: string): Promise<Answer['status']> {
  const path = `/v1/tenants/${tenant}/namespaces/${tenant}/policies/deny?wait=enforced&timeout=${timeout}`;
  const { body } = await lab.rest<Answer>(method, path, method === 'PUT' ? DENY : undefined);
  return body.status;
}

const problems = async (path = '/v1/cluster/problems') => (await lab.rest<Answer>('GET', path)).body.items ?? [];

test('only the tenant whose overlay is taken lags, by name and reason, until the place is free', async () => {
  const [problem] = await waitFor(async () => (await problems()).length > 0 && (await problems()), {
    what: 'the problem is told',
  });
  const told = { kind: 'kernel_refused', about: `link tnt${red.vni}`, node: 'node1', tenant: 'red' };
  expect(problem).toMatchObject(told);
  expect(problem?.text).toContain('EEXIST');
  expect(await problems('/v1/tenants/red/problems')).toMatchObject([told]);
  expect(await problems('/v1/tenants/blue/problems')).toEqual([]);

  expect(await policy('PUT', 'blue', '60s')).toMatchObject({ enforced: true });
  expect(await silentPairs(lab, both(ofBlue))).toHaveLength(2);
  expect(await silentPairs(lab, both(ofRed))).toEqual([]);
  expect(await policy('DELETE', 'blue', '60s')).toMatchObject({ enforced: true });
  expect(await silentPairs(lab, both(ofBlue))).toEqual([]);

  expect(await policy('PUT', 'red', '1s')).toMatchObject({ enforced: false, lagging: ['node1'] });
  await inNode1('del', 'other0');
  expect(await policy('PUT', 'red', '60s')).toMatchObject({ enforced: true });
  expect(await silentPairs(lab, both(ofRed))).toHaveLength(2);
  expect(await policy('DELETE', 'red', '60s')).toMatchObject({ enforced: true });
  expect(await silentPairs(lab, both(ofRed))).toEqual([]);
  await waitFor(async () => (await problems()).length === 0, { what: 'nothing is wrong any more' });
});
