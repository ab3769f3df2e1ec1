/** What a change of a policy would open and close. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatEndpoint } from '../../../controller/evaluation/ends.ts';
import { computeFlips, type Flip, type PolicyChange } from '../../../controller/evaluation/flips.ts';
import type { World } from '../../../controller/evaluation/world.ts';
import type { Policy, PolicyPort } from '../../../controller/model/records.ts';
import { selects } from '../../../controller/model/selector.ts';
import { parsePrefix } from '../../../dataplane/address.ts';
import { ALL, ask, egress, endpoint, ingress, policy, tenant, world } from './world.ts';

/** `blue/blue/web → 10.0.0.1 TCP 80-90: closed` */
function line({ from, to, protocol, port, endPort, after }: Flip): string {
  const name = (end: Flip['from']) => {
    if (end.kind === 'endpoint') return formatEndpoint(end);
    return end.kind === 'external' ? (end.network ?? end.ip) : end.ip;
  };
  const ports = port === undefined ? '' : ` ${port}${endPort === undefined ? '' : `-${endPort}`}`;
  return `${name(from)} → ${name(to)} ${protocol}${ports}: ${after ? 'opened' : 'closed'}`;
}

function lines(about: World, change: PolicyChange): string[] {
  const { flips, truncated } = computeFlips(about, change);
  expect(truncated).toBe(false);
  return flips.map(line);
}

const db = { matchLabels: { app: 'db' } };
const web = { matchLabels: { app: 'web' } };
const tcp = (port: number, endPort?: number): PolicyPort => ({ protocol: 'TCP', port, ...(endPort && { endPort }) });

test('a first policy closes what it does not allow', () => {
  const put = {
    kind: 'put',
    policy: ingress('blue/blue/in', [{ from: [{ podSelector: web }], ports: [tcp(5432)] }], db),
  } as const;
  expect(lines(world(), put)).toEqual([
    'blue/blue/web → blue/blue/db TCP 1-5431: closed',
    'blue/blue/web → blue/blue/db TCP 5433-65535: closed',
    'blue/blue/web → blue/blue/db UDP: closed',
    'blue/blue/web → blue/blue/db SCTP: closed',
    'blue/blue/web → blue/blue/db ICMP: closed',
    'blue/test/web → blue/blue/db any: closed',
    'red/red/web → blue/blue/db any: closed',
  ]);
});

test('its deletion opens that again, and both leave what they were given', () => {
  const about = world({ policies: [ingress('blue/blue/in', [], db)] });
  const before = structuredClone(about);
  expect(lines(about, { kind: 'delete', policy: { tenant: 'blue', namespace: 'blue', name: 'in' } })).toEqual([
    'blue/blue/web → blue/blue/db any: opened',
    'blue/test/web → blue/blue/db any: opened',
    'red/red/web → blue/blue/db any: opened',
  ]);
  expect(about).toEqual(before);
});

test('a policy written again flips the difference, and the same one nothing', () => {
  const old = ingress('blue/blue/in', [{ from: [{ podSelector: web }], ports: [tcp(80, 90)] }], db);
  const about = world({ policies: [old] });
  expect(lines(about, { kind: 'put', policy: old })).toEqual([]);
  const shifted = ingress('blue/blue/in', [{ from: [{ podSelector: web }], ports: [tcp(85, 95)] }], db);
  expect(lines(about, { kind: 'put', policy: shifted })).toEqual([
    'blue/blue/web → blue/blue/db TCP 80-84: closed',
    'blue/blue/web → blue/blue/db TCP 91-95: opened',
  ]);
});

test('what the other end forbids, or another policy allows, does not flip', () => {
  const allowed = world({ policies: [ingress('blue/blue/other', [{ ports: [tcp(80)] }], db)] });
  expect(lines(allowed, { kind: 'put', policy: ingress('blue/blue/in', [{ ports: [tcp(80)] }], db) })).toEqual([]);
  const forbidden = world({
    policies: [ingress('blue/blue/in', [], db), egress('blue/blue/out', [{ ports: [tcp(443)] }], web)],
    peerings: [],
  });
  expect(lines(forbidden, { kind: 'put', policy: ingress('blue/blue/in', [{}], db) })).toEqual([
    'blue/blue/web → blue/blue/db TCP 443: opened',
    'blue/test/web → blue/blue/db any: opened',
  ]);
});

test('names are resolved for each destination', () => {
  const put = {
    kind: 'put',
    policy: egress('blue/test/out', [{ ports: [{ protocol: 'TCP', port: 'http' }] }]),
  } as const;
  const flipped = lines(world({ policies: [egress('blue/test/none', [])] }), put);
  expect(flipped).toEqual([
    'blue/test/web → blue/blue/web TCP 8080: opened',
    'blue/test/web → red/red/web TCP 9090: opened',
  ]);
});

test('addresses beyond the cluster: one for each network and hole, and the rest', () => {
  const rule = { to: [{ ipBlock: { cidr: parsePrefix('203.0.112.0/22'), except: [parsePrefix('203.0.113.0/24')] } }] };
  const put = { kind: 'put', policy: egress('blue/test/out', [rule]) } as const;
  const { flips } = computeFlips(world({ peerings: [], policies: [egress('blue/test/none', [])] }), put);
  expect(flips).toEqual([
    {
      from: expect.objectContaining({ tenant: 'blue', namespace: 'test', name: 'web' }),
      to: { kind: 'external', ip: '203.0.112.1', network: '203.0.112.0/22' },
      protocol: 'any',
      before: false,
      after: true,
    },
  ]);
  const closing = lines(world({ peerings: [] }), put).filter((each) => !each.includes('→ blue'));
  expect(closing).toEqual([
    'blue/test/web → 1.0.0.1 any: closed',
    'blue/test/web → 192.168.0.53 UDP 53: closed',
    'blue/test/web → 198.51.100.7 any: closed',
  ]);
});

test('without internet, exceptions alone flip', () => {
  const about = world({ tenants: [tenant('blue', { egress: { internet: false } })] });
  const closing = lines(about, { kind: 'put', policy: egress('blue/test/out', []) }).filter(
    (each) => !each.includes('→ blue'),
  );
  expect(closing).toEqual([
    'blue/test/web → 192.168.0.53 UDP 53: closed',
    'blue/test/web → 198.51.100.7 UDP 123: closed',
  ]);
});

test('more than fit are cut off, and it says so', () => {
  const many = Array.from({ length: 60 }, (_, i) => endpoint(`blue/blue/e${i}`, `10.128.5.${i}`));
  const about = world({ endpoints: many });
  const put = { kind: 'put', policy: ingress('blue/blue/in', []) } as const;
  const { flips, truncated } = computeFlips(about, put);
  expect([flips.length, truncated]).toEqual([1000, true]);
  const limits = { flips: 1e6, pairs: 1e6, evaluated: 1e6, networks: 1e6 };
  expect(computeFlips(about, put, limits)).toMatchObject({ truncated: false, flips: { length: 60 * 59 } });
  expect(computeFlips(about, put, { ...limits, pairs: 100 })).toMatchObject({ truncated: true });
  // all alike: evaluated once
  expect(computeFlips(about, put, { ...limits, evaluated: 1 })).toMatchObject({ truncated: false });
  const different = world({ endpoints: many.map((each) => ({ ...each, labels: { is: each.name } })) });
  expect(computeFlips(different, put, { ...limits, evaluated: 1 })).toMatchObject({ truncated: true });
  const to = ['203.0.113.0/24', '198.51.100.0/24'].map((cidr) => ({ ipBlock: { cidr: parsePrefix(cidr) } }));
  const out = { kind: 'put', policy: egress('blue/blue/out', [{ to }]) } as const;
  expect(computeFlips(world(), out, { ...limits, networks: 2 })).toMatchObject({ truncated: false });
  expect(computeFlips(world(), out, { ...limits, networks: 1 })).toMatchObject({ truncated: true });
});

test('what one of two replicas flips, the other does as well; an address or a label makes the difference', () => {
  const [one, two, three] = ['10.128.5.1', '10.128.5.2', '10.128.6.1'].map((ip, i) => endpoint(`blue/blue/r${i}`, ip));
  const target = endpoint('blue/blue/db', '10.128.4.2', { app: 'db' });
  const about = world({ endpoints: [one, two, three, target].flatMap((each) => each ?? []) });
  const rule = { from: [{ ipBlock: { cidr: parsePrefix('10.128.5.0/24') } }] };
  expect(lines(about, { kind: 'put', policy: ingress('blue/blue/in', [rule], db) })).toEqual([
    'blue/blue/r2 → blue/blue/db any: closed',
  ]);
});

describe('whatever the policies are', () => {
  const port = fc.oneof(
    fc
      .tuple(
        fc.constantFrom<'TCP' | 'UDP'>('TCP', 'UDP'),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 0, max: 20 }),
      )
      .map(
        ([protocol, first, more]): PolicyPort => ({
          protocol,
          port: first,
          ...(more > 0 ? { endPort: first + more } : {}),
        }),
      ),
    fc.constant<PolicyPort>({ protocol: 'TCP', port: 'low' }),
  );
  const peer = fc.constantFrom(
    { podSelector: web },
    { namespaceSelector: ALL },
    { ipBlock: { cidr: parsePrefix('10.128.4.0/24') } },
    { ipBlock: { cidr: parsePrefix('203.0.113.0/24') } },
  );
  const rule = fc
    .record({ peers: fc.array(peer, { maxLength: 2 }), ports: fc.array(port, { maxLength: 2 }) })
    .map(({ peers, ports }) => ({ from: peers, to: peers, ports }));
  const anyPolicy = (name: string) =>
    fc
      .record({
        podSelector: fc.constantFrom(ALL, web, db),
        policyTypes: fc.constantFrom<('Ingress' | 'Egress')[]>(['Ingress'], ['Egress'], ['Ingress', 'Egress']),
        ingress: fc.array(rule, { maxLength: 2 }),
        egress: fc.array(rule, { maxLength: 2 }),
      })
      .map((spec) => policy(name, spec));

  test('each port flips that the evaluator says otherwise of afterwards, and no other', () => {
    fc.assert(
      fc.property(anyPolicy('blue/blue/a'), anyPolicy('blue/blue/b'), anyPolicy('blue/blue/a'), (old, other, next) => {
        const low = [{ name: 'low', containerPort: 7, protocol: 'TCP' as const }];
        const endpoints = world().endpoints.map((each) => ({ ...each, ports: low }));
        const before = world({ endpoints, policies: [old, other] });
        const after = world({ endpoints, policies: [next, other] });
        const { flips } = computeFlips(before, { kind: 'put', policy: next });
        const ends = ['blue/blue/web', 'blue/blue/db', 'blue/test/web', 'red/red/web', '203.0.113.1'];
        const beyond = isNamed([old, next], [old, other, next]) ? '203.0.113.0/24' : undefined;
        for (const from of ends.slice(0, 4))
          for (const to of ends) {
            for (const protocol of ['TCP', 'UDP', 'SCTP'] as const)
              for (const number of [1, 7, 8, 20, 33, 40, 61, 65535]) {
                const was = ask(before, from, to, `${protocol} ${number}`).allowed;
                const is = ask(after, from, to, `${protocol} ${number}`).allowed;
                expect(flips.some((flip) => covers(flip, from, to, beyond, protocol, number))).toBe(was !== is);
              }
          }
      }),
      { numRuns: 40 },
    );
  });

  /** Does a policy that isolates one of those that the changed one isolates name the network beyond the cluster? */
  function isNamed(changed: readonly Policy[], all: readonly Policy[]): boolean {
    const isolates = ({ spec }: Policy, app: string) =>
      spec.policyTypes.includes('Egress') && selects(spec.podSelector, { app });
    const sources = ['web', 'db'].filter((app) => changed.some((each) => isolates(each, app)));
    return all.some(
      (each) =>
        sources.some((app) => isolates(each, app)) && JSON.stringify(each.spec.egress).includes('203.0.113.0/24'),
    );
  }

  function covers(
    { from, to, protocol, port: first, endPort }: Flip,
    source: string,
    destination: string,
    beyond: string | undefined,
    asked: string,
    number: number,
  ) {
    const isSource = from.kind === 'endpoint' && formatEndpoint(from) === source;
    const isDestination =
      to.kind === 'endpoint'
        ? formatEndpoint(to) === destination
        : to.kind === 'external' && destination === '203.0.113.1' && to.network === beyond && to.ip !== '198.51.100.7';
    const isPort = first === undefined || (number >= first && number <= (endPort ?? first));
    return isSource && isDestination && (protocol === 'any' || protocol === asked) && isPort;
  }
});
