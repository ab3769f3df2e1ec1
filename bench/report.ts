/** A part's report: figures compared with the baseline, and the text people read: a table of figures, one of targets. Pure. */
import Table from 'cli-table3';
import { formatCount, formatRatio, formatValue } from './format.ts';
import type { ComparedFigure, Figure, Report, Target } from './result.ts';

/** Gives every figure its ratio to the baseline's. */
export function compareFigures(figures: readonly Figure[], baseline: string): ComparedFigure[] {
  const base = new Map(
    figures.filter(({ subject }) => subject === baseline).map((figure) => [groupOf(figure), figure.value]),
  );
  return figures.map((figure) => {
    const ratio = figure.value / (base.get(groupOf(figure)) ?? Number.NaN);
    return Number.isFinite(ratio) ? { ...figure, ratio: Math.round(ratio * 1000) / 1000 } : figure;
  });
}

/** The figures that are compared with each other. */
function groupOf({ operation, scale, unit }: Figure): string {
  return `${operation} ${scale} ${unit}`;
}

/** The whole report as text, its last line ended. */
export function formatReport(title: string, report: Report): string {
  const { part, machine, tools, quick, seconds, skipped, unavailable, baseline } = report;
  if (unavailable !== undefined) return `${part}: ${title}\nskipped: ${unavailable}\n\n`;
  const versions = Object.entries(tools).map(([name, version]) => `${name} ${version}`);
  return [
    `${part}: ${title}`,
    `${machine.cpu}, ${machine.cores} cores (load ${machine.load}), Linux ${machine.kernel}, Node ${machine.node.slice(1)}`,
    `commit ${machine.commit}${versions.length > 0 ? `; ${versions.join(', ')}` : ''}`,
    figureTable(report),
    `ratio: the median over that of ${baseline}${report.figures.some(hasCold) ? '; cold: right after the others ran' : ''}`,
    ...skipped.map((what) => `left out: ${what}`),
    ...(report.targets.length > 0 ? [targetTable(report.targets)] : []),
    `${quick ? 'quick run, ' : ''}${seconds.toFixed(1)} s`,
    '',
    '',
  ].join('\n');
}

const hasCold = ({ cold }: Figure): boolean => cold !== undefined;
const hasP99 = ({ p99 }: Figure): boolean => p99 !== undefined;
const hasRatio = ({ ratio }: ComparedFigure): boolean => ratio !== undefined;

function figureTable({ figures, scale }: Report): string {
  type Column = readonly [string, 'left' | 'right', (figure: ComparedFigure) => string];
  const optional = (is: (figure: ComparedFigure) => boolean, column: Column) => (figures.some(is) ? [column] : []);
  const value = (of: number | undefined, { unit }: Figure) => (of === undefined ? '' : formatValue(of, unit));
  const columns: readonly Column[] = [
    ['operation', 'left', ({ operation }) => operation],
    [scale, 'right', (figure) => formatCount(figure.scale)],
    ['how', 'left', ({ subject }) => subject],
    ['median', 'right', (figure) => value(figure.value, figure)],
    ['p95', 'right', (figure) => value(figure.p95, figure)],
    ...optional(hasP99, ['p99', 'right', (figure) => value(figure.p99, figure)]),
    ...optional(hasCold, ['cold', 'right', (figure) => value(figure.cold, figure)]),
    ['runs', 'right', ({ runs }) => formatCount(runs)],
    ...optional(hasRatio, ['ratio', 'right', ({ ratio }) => (ratio === undefined ? '' : formatRatio(ratio))]),
  ];
  const table = new Table({
    head: columns.map(([head]) => head),
    colAligns: columns.map(([, align]) => align),
    style: { head: [], border: [], compact: true },
  });
  let last: readonly string[] = [];
  for (const figure of inGroups(figures)) {
    const cells = columns.map(([, , cell]) => cell(figure));
    // What is as in the line above is not said again.
    const sameOperation = cells[0] === last[0];
    const sameScale = sameOperation && cells[1] === last[1];
    table.push(cells.map((cell, index) => ((index === 0 && sameOperation) || (index === 1 && sameScale) ? '' : cell)));
    last = cells;
  }
  return table.toString();
}

/** Operations as they came, in each the scales upwards; what is the same in both stays in order. */
function inGroups(figures: readonly ComparedFigure[]): ComparedFigure[] {
  const operations = [...new Set(figures.map(({ operation }) => operation))];
  const order = ({ operation }: ComparedFigure) => operations.indexOf(operation);
  return [...figures].sort((a, b) => order(a) - order(b) || a.scale - b.scale);
}

function targetTable(targets: readonly Target[]): string {
  const table = new Table({
    head: ['target', 'wanted', 'measured', ''],
    style: { head: [], border: [], compact: true },
  });
  for (const { what, wanted, measured, met } of targets) table.push([what, wanted, measured, met ? 'met' : 'MISSED']);
  return table.toString();
}
