/**
 * How objects look: aligned columns without trailing blanks, ages as people say them, JSON and YAML untouched.
 */
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { viewOf } from '../../../controller/cli/kinds.ts';
import { formatAge, formatObjects } from '../../../controller/cli/output.ts';

const NOW = Date.parse('2026-11-24T12:00:00Z');
const blue = {
  name: 'blue',
  vni: 2,
  subnets: ['10.128.4.0/22', '10.129.0.0/24'],
  namespaces: ['blue', 'blue-test'],
  labels: { plan: 'gold' },
  quota: { endpoints: 100 },
  egress: { internet: false },
  ingress: { gateways: true },
  phase: 'active',
  createdAt: '2026-11-24T11:15:00Z',
};
const green = {
  ...blue,
  name: 'a-much-longer-name',
  vni: 16_777_215,
  subnets: ['10.130.0.0/16'],
  namespaces: [],
  labels: {},
};

test('a table has aligned columns, a dash for what is empty, and no blank at the end of a line', () => {
  const table = formatObjects('table', undefined, [blue, green], viewOf('tenants'), NOW);
  const [head, first, second, rest] = table.split('\n');
  expect(head).toMatch(/^NAME +VNI +SUBNETS +NAMESPACES +.*PHASE +AGE$/);
  for (const title of ['VNI', 'SUBNETS', 'NAMESPACES', 'PHASE', 'AGE']) {
    const at = head?.indexOf(title) ?? 0;
    for (const line of [first, second]) expect(line?.slice(at - 1, at + 1), `${title} in ${line}`).toMatch(/^ [^ ]$/);
  }
  expect(first).toContain('10.128.4.0/22, 10.129.0.0/24');
  expect(second).toMatch(/10\.130\.0\.0\/16 +- /);
  expect(table).not.toMatch(/ $/m);
  expect(rest).toBe('');
  expect(table).not.toContain('\u001b');
});

test('wide adds columns', () => {
  const wide = formatObjects('wide', undefined, [blue], viewOf('tenants'), NOW);
  expect(wide).toMatch(/INTERNET +GATEWAYS +QUOTA +LABELS/);
  expect(wide).toMatch(/no +yes +endpoints=100 +plan=gold/);
});

test('json and yaml are what REST gave, whole', () => {
  const body = { items: [blue], revision: 7, extra: { unknown: [1, null] } };
  expect(JSON.parse(formatObjects('json', body, [blue], viewOf('tenants'), NOW))).toEqual(body);
  expect(parse(formatObjects('yaml', body, [blue], viewOf('tenants'), NOW))).toEqual(body);
});

test('name gives one reference a line', () => {
  expect(formatObjects('name', undefined, [blue, green], viewOf('tenants'), NOW)).toBe(
    'tenant/blue\ntenant/a-much-longer-name\n',
  );
  const endpoint = { id: '0123456789ab', tenant: 'blue' };
  expect(formatObjects('name', undefined, [endpoint], viewOf('endpoints'), NOW)).toBe('endpoint/blue/0123456789ab\n');
});

describe('ages', () => {
  test.each([
    ['2026-11-24T12:00:05Z', '0s'],
    ['2026-11-24T11:58:01Z', '119s'],
    ['2026-11-24T11:58:00Z', '2m'],
    ['2026-11-24T10:00:00Z', '2h'],
    ['2026-11-21T08:00:00Z', '3d4h'],
    ['2026-08-29T12:00:00Z', '87d'],
    ['never', ''],
    [undefined, ''],
  ])('since %s: %s', (since, age) => {
    expect(formatAge(since, NOW)).toBe(age);
  });
});
