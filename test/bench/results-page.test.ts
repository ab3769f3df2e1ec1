/** The page of saved results says of each target whether it is met, and shows what was measured on what. */
import { expect, test } from 'vitest';
import type { Report } from '../../bench/result.ts';
import { formatResultsPage } from '../../bench/results-page.ts';

const report: Report = {
  part: 'packet',
  at: '2026-11-28T10:00:00.000Z',
  seconds: 61.2,
  quick: true,
  machine: {
    cpu: 'A Processor',
    cores: 2,
    memoryGiB: 4,
    load: 0.3,
    kernel: '6.1.0',
    node: 'v20.11.0',
    commit: 'c0ffee'.repeat(7),
  },
  tools: { nft: '1.0.6' },
  scale: 'endpoints',
  baseline: 'no rules',
  figures: [],
  targets: [
    { what: 'fast | flat', wanted: '≤ 1', measured: '2', met: false },
    { what: 'small', wanted: '≤ 3', measured: '2', met: true },
  ],
  skipped: ['ipset: not installed'],
};

test('every target with its outcome, each part with its plot, machine and what was left out', () => {
  const page = formatResultsPage([{ title: 'One packet', report }]);
  expect(page).toContain('## Targets: 1 of 2 met');
  expect(page).toContain('| packet | fast \\| flat | ≤ 1 | 2 | **missed** |');
  expect(page).toContain('| packet | small | ≤ 3 | 2 | met |');
  expect(page).toContain('![packet](packet.svg)');
  expect(page).toContain(
    '\n- 2026-11-28, a quick run of 61 s\n- A Processor, 2 cores (load 0.3), Linux 6.1.0, Node 20.11.0\n',
  );
  expect(page).toContain('\n- nft 1.0.6\n- [all figures](packet.json)\n');
  expect(page).toContain('Left out: ipset: not installed');
  expect(page).toMatch(/[^\n]\n$/);
});
