/** A cluster with one tenant: what tests of tenants by REST stand on. */
import { expect } from 'vitest';
import { parsePrefix } from '../../../dataplane/address.ts';
import { startApp, type TestAppOptions } from './fixture.ts';

export const TINY = { pools: [parsePrefix('10.9.0.0/24')], subnetPrefixLength: 26, blockPrefixLength: 28 };

export async function appWithBlue(options: TestAppOptions = {}) {
  const app = await startApp(options);
  const blue = await app.call('POST', '/v1/tenants', { name: 'blue', namespaces: ['blue-test'] });
  expect(blue.status).toBe(201);
  return { ...app, blue };
}

export function names(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `n${index}`);
}

export function slices(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `10.129.${index * 4}.0/22`);
}
