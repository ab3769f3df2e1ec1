import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** With TEST_RESULTS=DIR every run also leaves its counts in DIR; .ci/run sums them. */
const results = process.env.TEST_RESULTS;
const report: ['json', { outputFile: string }][] = results
  ? [['json', { outputFile: join(results, `${process.pid}.json`) }]]
  : [];

const isolated = { pool: 'forks' as const, environment: 'node' as const };

/**
 * Three projects: `unit` needs nothing, `kernel` needs root (each file makes a network namespace of its own),
 * `e2e` needs the build and Debian's packages (whole labs: real etcd, controllers, agents, packets).
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
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
