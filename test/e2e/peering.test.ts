/**
 * Two tenants that both asked may talk, and no others: not with one side's word alone, not by way of a common friend, not once either
 * takes it back, whatever flows there are.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { answerAs, cells, expectMatrix, type Target } from './support/cells.ts';
import { makeTenant, untilReached } from './support/cluster.ts';
import { allowed, Flood, forbidden } from './support/flood.ts';

const TENANTS = ['red', 'blue', 'green'] as const;
type Tenant = (typeof TENANTS)[number];

let lab: Lab;
/** of each tenant one on node1, one on node2; green has none on node1 */
const cast = new Map<string, Container>();
const one = (name: string): Container => {
  const found = cast.get(name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
};

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  for (const tenant of TENANTS) {
    await makeTenant(lab, tenant);
    for (const node of tenant === 'green' ? ['node2'] : ['node1', 'node2']) {
      const container = await lab.attach(node, { tenant });
      const name = `${tenant}${node.slice(-1)}`;
      cast.set(name, container);
      await answerAs(name, lab.prober(container));
    }
  }
  await untilReached(lab, [
    [one('red1'), one('red2')],
    [one('red2'), one('red1')],
    [one('blue1'), one('blue2')],
    [one('blue2'), one('blue1')],
  ]);
});
afterAll(() => lab?.close());

async function ask(from: Tenant, to: Tenant): Promise<void> {
  const { status, body } = await lab.rest('PUT', `/v1/tenants/${from}/peerings/${to}?wait=enforced&timeout=60s`);
  expect([200, 201], JSON.stringify(body)).toContain(status);
}

async function takeBack(from: Tenant, to: Tenant): Promise<void> {
  const { status, body } = await lab.rest('DELETE', `/v1/tenants/${from}/peerings/${to}?wait=enforced&timeout=60s`);
  expect(status, JSON.stringify(body)).toBe(200);
}

/** Which pods may reach which: those of one tenant, and of different tenants those of `pairs`, both ways, by TCP, UDP and ICMP. */
async function expectPairs(...pairs: readonly (readonly [Tenant, Tenant])[]): Promise<void> {
  const tenantOf = (name: string) => name.slice(0, -1);
  const isOpen = (a: string, b: string) =>
    a === b || pairs.some((pair) => pair.join() === `${a},${b}` || pair.join() === `${b},${a}`);
  const all = [...cast].flatMap(([from, source]) =>
    [...cast].flatMap(([to, target]) => {
      if (from === to) return [];
      const own = [...cast].find(([name]) => tenantOf(name) === tenantOf(to) && name !== to)?.[1] ?? target;
      const end: Target = { name: to, address: target.ip, witness: lab.prober(own) };
      const expected = isOpen(tenantOf(from), tenantOf(to)) ? 'allowed' : 'denied';
      return cells({ name: from, prober: lab.prober(source) }, end, expected);
    }),
  );
  await expectMatrix(all);
}

describe('two tenants', () => {
  test('reach each other once both have asked, and neither reaches a peer of its peer', async () => {
    await expectPairs();
    await ask('red', 'blue');
    await expectPairs();
    await ask('blue', 'red');
    await expectPairs(['red', 'blue']);
    await ask('blue', 'green');
    await ask('green', 'blue');
    await expectPairs(['red', 'blue'], ['blue', 'green']);
    await takeBack('green', 'blue');
    await takeBack('red', 'blue');
    await expectPairs();
    await takeBack('blue', 'red');
    await takeBack('blue', 'green');
  });

  test('still do after agents were killed and restarted, and containers come and go', async () => {
    await ask('red', 'blue');
    await ask('blue', 'red');
    for (const node of ['node1', 'node2']) {
      await lab.killAgent(node);
      await lab.startAgent(node);
    }
    await expectPairs(['red', 'blue']);
    const late = await lab.attach('node1', { tenant: 'red' });
    cast.set('red9', late);
    onTestFinished(async () => {
      cast.delete('red9');
      await lab.detach(late);
    });
    await answerAs('red9', lab.prober(late));
    await expectPairs(['red', 'blue']);
    await takeBack('blue', 'red');
    await expectPairs();
    await takeBack('red', 'blue');
  });

  test('with a stream running and taken back: it stops, whichever side ends it, and others go on', async () => {
    for (const ender of ['red', 'blue'] as const) {
      const other = ender === 'red' ? 'blue' : 'red';
      await ask('red', 'blue');
      await ask('blue', 'red');
      const between = [
        allowed('udp', 'here', one('red1'), one('blue1'), 7001),
        allowed('udp', 'across', one('red1'), one('blue2'), 7001),
        allowed('tcp', 'here, TCP', one('blue1'), one('red1'), 7002),
        allowed('tcp', 'across, TCP', one('blue2'), one('red1'), 7005),
      ];
      const revoked = await Flood.start(between);
      const kept = await Flood.start([
        allowed('udp', 'own, across', one('red1'), one('red2'), 7003),
        allowed('tcp', 'own, TCP', one('blue1'), one('blue2'), 7004),
        forbidden('green', one('green2'), one('red2'), 7003),
      ]);
      onTestFinished(() => revoked.close());
      onTestFinished(() => kept.close());
      await revoked.passes(20);
      await takeBack(ender, other);
      const delivered = async () => (await revoked.counts()).map((count) => count.delivered);
      // What was on its way has arrived by the time the other flows have passed on.
      await kept.passes(20);
      await lab.sentinel.pass();
      const before = await delivered();
      await kept.passes(200);
      expect(await delivered(), `taken back by ${ender}`).toEqual(before);
      await kept.stopUnharmed();
      revoked.close();
      await takeBack(other, ender);
    }
  });

  test('of which one goes for good leave nothing between the other and who takes the name next', async () => {
    await makeTenant(lab, 'brief');
    const brief = await lab.attach('node1', { tenant: 'brief' });
    await lab.rest('PUT', '/v1/tenants/red/peerings/brief?wait=enforced&timeout=60s');
    await lab.rest('PUT', '/v1/tenants/brief/peerings/red?wait=enforced&timeout=60s');
    const reaches = async (to: { ip: string }) => (await lab.prober(one('red2')).ping(to.ip)).outcome === 'answered';
    await waitFor(() => reaches(brief), { what: 'red reaches brief' });
    await lab.detach(brief);
    await waitFor(async () => (await lab.rest('DELETE', '/v1/tenants/brief')).status === 404, {
      what: 'brief is gone',
    });
    await makeTenant(lab, 'brief');
    const heir = await lab.attach('node1', { tenant: 'brief' });
    expect(await reaches(heir)).toBe(false);
    await lab.detach(heir);
  });
});
