import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** With TEST_RESULTS=DIR every run also leaves its counts in DIR; .ci/run sums them. */
const results = process.env.TEST_RESULTS;
const report: ['json', { outputFile: string }][] = results
  ? [['json', { outputFile: join(results, `${process.pid}.json`) }]]
  : [];

/** What stands on rules, and so is run once on each backend that Tenet has. */
const dependsOnBackend = [
  'attacks-*',
  'coexistence',
  'denials',
  'drift',
  'enforced',
  'isolation',
  'lifecycle',
  'peering',
  'policy-conformance',
  'policy-window',
  'survival',
  'type-of-service',
].map((name) => `test/e2e/${name}.test.ts`);
const e2e = { testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false };

const isolated = { pool: 'forks' as const, environment: 'node' as const };

/**
 * Four projects: `unit` needs nothing, `kernel` needs root (each file makes a network namespace of its own), `e2e` needs the build
 * and Debian's packages (whole labs: real etcd, controllers, agents, packets), and `e2e-iptables` is what of that stands on rules, once
 * more on the iptables backend.
 */
export default defineConfig({
  test: {
    reporters: ['default', ...report],
    projects: [
      {
        test: {
          ...isolated,
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/kernel/**', 'test/e2e/**'],
          testTimeout: 20_000,
        },
      },
      {
        test: {
          ...isolated,
          name: 'kernel',
          include: ['test/kernel/**/*.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          ...isolated,
          ...e2e,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          env: { TENET_LAB_BACKEND: 'nftables' },
        },
      },
      {
        test: {
          ...isolated,
          ...e2e,
          name: 'e2e-iptables',
          include: dependsOnBackend,
          env: { TENET_LAB_BACKEND: 'iptables' },
        },
      },
    ],
  },
});
