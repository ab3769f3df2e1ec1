import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { RunReport } from './test/ci/run-report.ts';

/** With TEST_RESULTS=DIR every run also leaves its report in DIR; .ci/run judges them. */
const results = process.env.TEST_RESULTS;
const report = results ? [new RunReport(results)] : [];

/** What stands on rules, and so runs once on each backend that Tenet has. */
const DEPENDS_ON_BACKEND = [
  'attacks-*',
  'backup',
  'coexistence',
  'denials',
  'drift',
  'enforced',
  'faults',
  'isolation',
  'lifecycle',
  'peering',
  'policy-conformance',
  'policy-window',
  'problems',
  'rollback',
  'survival',
  'type-of-service',
].map((name) => `test/e2e/${name}.test.ts`);

/** Times end what hangs, and decide nothing else. */
const lab = {
  testTimeout: 300_000,
  hookTimeout: 180_000,
  isolate: false,
  globalSetup: 'test/e2e/support/end-shared-stages.ts',
};
/** So many files at once, for two processors: a lab waits more than it works. */
const inPairs = { fileParallelism: true, maxWorkers: 2 };
const inThrees = { fileParallelism: true, maxWorkers: 3 };

/** Tests about the CNI binary start it; for others, containers are scenery. */
const containers = { TENET_LAB_PLUGIN: 'in-process' };

/** Files that take a minute or more, by their names: begun first, so that none of them is left alone at the end. */
const LONG = [
  'policy-conformance',
  'survival',
  'faults',
  'lifecycle',
  'membership',
  'drift',
  'iptables-isolation',
  'policy-window',
];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      // Last, those that share a stage, so that it does not stand idle in between.
      return found >= 0 ? found : LONG.length + Number(/\/(attacks-|sentinel)/.test(moduleId));
    };
    // A process that runs file after file is of one project.
    const byProject = (a: TestSpecification, b: TestSpecification) => a.project.name.localeCompare(b.project.name);
    return (await super.sort(files)).toSorted((a, b) => byProject(a, b) || rank(a) - rank(b));
  }
}

const common = {
  pool: 'forks' as const,
  environment: 'node' as const,
  // What is polled for is an event, which comes late on a busy machine: only what does not come at all is a failure.
  expect: { poll: { timeout: 10_000 } },
  // 700 files otherwise, in each process anew.
  deps: { optimizer: { ssr: { enabled: true, include: ['typebox', 'typebox/compile'] } } },
};

/** Projects of one group run side by side, group after group. */
const group = (groupOrder: number) => ({ sequence: { groupOrder } });

/**
 * `unit` needs nothing, `kernel` needs root (each file makes a network namespace of its own), `e2e` needs the build and Debian's packages
 * (real etcd, controllers, agents, packets, each file in a lab of its own), and `e2e-iptables` is what of that stands on rules, once more
 * on the iptables backend.
 */
export default defineConfig({
  test: {
    reporters: ['default', ...report],
    sequence: { sequencer: LongFirst },
    projects: [
      {
        test: {
          ...common,
          ...inPairs,
          ...group(0),
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/kernel/**', 'test/e2e/**'],
          testTimeout: 120_000,
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
          testTimeout: 120_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          ...common,
          ...lab,
          ...inThrees,
          ...group(2),
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          env: { ...containers, TENET_LAB_BACKEND: 'nftables' },
        },
      },
      {
        test: {
          ...common,
          ...lab,
          ...inThrees,
          ...group(2),
          name: 'e2e-iptables',
          include: DEPENDS_ON_BACKEND,
          env: { ...containers, TENET_LAB_BACKEND: 'iptables' },
        },
      },
    ],
  },
});
