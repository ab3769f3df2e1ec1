import { defineConfig } from 'vitest/config';
import { RunReport } from './test/ci/run-report.ts';

/** With TEST_RESULTS=DIR every run also leaves its report in DIR; .ci/run judges them. */
const results = process.env.TEST_RESULTS;
const report = results ? [new RunReport(results)] : [];

const testsOf = (names: readonly string[]): string[] => names.map((name) => `test/e2e/${name}.test.ts`);

/** Floods that must not lose a message while parts of a cluster die: one at a time, with the machine to themselves. */
const FLOODS = testsOf(['membership', 'peering', 'policy-window', 'survival', 'switching']);

/** Attacks, verdicts and repairs that stand on rules: once on each backend that Tenet has. */
const DEPENDS_ON_BACKEND = testsOf([
  'attacks-*',
  'coexistence',
  'denials',
  'drift',
  'enforced',
  'isolation',
  'lifecycle',
  'policy-conformance',
  'type-of-service',
]);
const FLOODS_ON_BACKEND = testsOf(['peering', 'policy-window', 'survival']);

/** Whole labs: hooks build and take down clusters. Times end what hangs, and decide nothing else. */
const lab = { testTimeout: 300_000, hookTimeout: 180_000 };
/** Two files at once, for two processors. */
const inPairs = { fileParallelism: true, maxWorkers: 2 };
const alone = { fileParallelism: false, maxWorkers: 1 };
const onNftables = { env: { TENET_LAB_BACKEND: 'nftables' } };
const onIptables = { env: { TENET_LAB_BACKEND: 'iptables' } };

const common = {
  pool: 'forks' as const,
  environment: 'node' as const,
  // What is polled for is an event, which comes late on a busy machine: only what does not come at all is a failure.
  expect: { poll: { timeout: 10_000 } },
};

/** Projects of one group run side by side, group after group. */
const group = (groupOrder: number) => ({ sequence: { groupOrder } });

/**
 * `unit` needs nothing, `kernel` needs root (each file makes a network namespace of its own), `e2e` and `floods` need the build and
 * Debian's packages (real etcd, controllers, agents, packets). What of the latter stands on rules runs once more on the iptables backend.
 */
export default defineConfig({
  test: {
    reporters: ['default', ...report],
    projects: [
      {
        test: {
          ...common,
          ...inPairs,
          ...group(0),
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/kernel/**', 'test/e2e/**'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          ...common,
          ...inPairs,
          ...group(1),
          name: 'kernel',
          include: ['test/kernel/**/*.test.ts'],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          ...common,
          ...lab,
          ...inPairs,
          ...group(2),
          ...onNftables,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: FLOODS,
        },
      },
      {
        test: {
          ...common,
          ...lab,
          ...inPairs,
          ...group(2),
          ...onIptables,
          name: 'e2e-iptables',
          include: DEPENDS_ON_BACKEND,
        },
      },
      {
        test: { ...common, ...lab, ...alone, ...group(3), ...onNftables, name: 'floods', include: FLOODS },
      },
      {
        test: {
          ...common,
          ...lab,
          ...alone,
          ...group(3),
          ...onIptables,
          name: 'floods-iptables',
          include: FLOODS_ON_BACKEND,
        },
      },
    ],
  },
});
