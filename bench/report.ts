/** A report for people: one table of figures, one of targets. Pure. */
import Table from 'cli-table3';
import type { Figure, Report, Target } from './result.ts';

/** The whole report as text, its last line ended. */
export function formatReport(title: string, report: Report): string {
  const { machine, tools, quick, seconds, skipped } = report;
  const versions = Object.entries(tools).map(([name, version]) => `${name} ${version}`);
  return [
    title,
    `${machine.cpu}, ${machine.cores} cores (load ${machine.load}), Linux ${machine.kernel}, Node ${machine.node.slice(1)}`,
    `commit ${machine.commit}`,
    ...(versions.length > 0 ? [versions.join(', ')] : []),
    figureTable(report.figures),
    'times: its median over that of Tenet in the same run. cold: median of the first after the others had the caches.',
    ...skipped.map((what) => `left out: ${what}`),
    targetTable(report.targets),
    `${quick ? 'quick run, ' : ''}${seconds.toFixed(1)} s`,
    '',
  ].join('\n');
}

function figureTable(figures: readonly Figure[]): string {
  const table = new Table({
    head: ['existing', 'operation', 'how', 'median', 'p95', 'cold', 'runs', 'times'],
    colAligns: ['right', 'left', 'left', 'right', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  const sorted = [...figures].sort((a, b) => a.existing - b.existing || a.operation.localeCompare(b.operation));
  for (const { existing, operation, subject, medianUs, p95Us, coldMedianUs, runs, timesTenet } of sorted) {
    table.push([
      existing,
      operation,
      subject,
      formatTime(medianUs),
      formatTime(p95Us),
      formatTime(coldMedianUs),
      runs,
      formatFactor(timesTenet),
    ]);
  }
  return table.toString();
}

function targetTable(targets: readonly Target[]): string {
  const table = new Table({
    head: ['target', 'wanted', 'measured', ''],
    style: { head: [], border: [], compact: true },
  });
  for (const { what, wanted, measured, met } of targets) table.push([what, wanted, measured, met ? 'met' : 'MISSED']);
  return table.toString();
}

/** `4.1 µs`, `13.0 ms` */
function formatTime(us: number): string {
  return us < 1000 ? `${us.toFixed(1)} µs` : `${(us / 1000).toFixed(1)} ms`;
}

function formatFactor(factor: number): string {
  return factor < 10 ? factor.toFixed(1) : String(Math.round(factor));
}
