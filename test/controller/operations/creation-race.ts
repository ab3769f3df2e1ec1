/** Many creations through several controllers at once, over whichever store: what must hold afterwards. */
import { expect } from 'vitest';
import type { Store } from '../../../controller/store/store.ts';
import { parsePrefix, prefixesOverlap } from '../../../dataplane/address.ts';
import type { TestApp } from '../api/fixture.ts';

/** Names `t0` … spread over the controllers, so many in flight at each; every fifth is asked of the next controller too. */
export async function race(
  apps: readonly TestApp[],
  count: number,
  concurrency: number,
): Promise<Map<string, number[]>> {
  const statuses = new Map<string, number[]>();
  const work = apps.map(() => [] as string[]);
  for (let index = 0; index < count; index++) {
    work[index % apps.length]?.push(`t${index}`);
    if (index % 5 === 0) work[(index + 1) % apps.length]?.push(`t${index}`);
  }
  const worker = async (app: TestApp, names: string[]): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      const { status } = await app.call('POST', '/v1/tenants', { name, namespaces: [`${name}-extra`] });
      statuses.set(name, [...(statuses.get(name) ?? []), status]);
    }
  };
  await Promise.all(
    apps.flatMap((app, index) => Array.from({ length: concurrency }, () => worker(app, work[index] ?? []))),
  );
  return statuses;
}

/** Each tenant was created by exactly one request, and no two share a VNI, an address or a namespace. */
export async function expectSound(store: Store, statuses: ReadonlyMap<string, readonly number[]>): Promise<void> {
  for (const [name, seen] of statuses)
    expect([name, [...seen].sort()]).toEqual([name, seen.length === 1 ? [201] : [201, 409]]);
  const { entries } = await store.list('tenants/');
  const tenants = entries.map(
    ({ value }) => JSON.parse(value) as { readonly vni: number; readonly subnets: readonly string[] },
  );
  expect(tenants.length).toBe(statuses.size + 1);
  expect(new Set(tenants.map(({ vni }) => vni)).size).toBe(tenants.length);
  const subnets = tenants.flatMap(({ subnets }) => subnets).map(parsePrefix);
  const sorted = subnets.sort();
  for (const [index, subnet] of sorted.entries())
    expect(sorted.slice(index + 1, index + 3).filter((other) => prefixesOverlap(subnet, other))).toEqual([]);
  expect(new Set(sorted).size).toBe(sorted.length);
  const claims = await store.list('claims/');
  const namespaces = await store.list('namespaces/');
  // Two of vni and subnet each, and the namespaces: two each, one for the system tenant.
  expect(claims.entries.length).toBe(2 * tenants.length + 2 * statuses.size + 1);
  expect(namespaces.entries.length).toBe(2 * statuses.size + 1);
}
