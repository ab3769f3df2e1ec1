/** The demo's results as tables for a terminal: colours where there is one. Only formats. */
import Table from 'cli-table3';
import type { Row } from './probe/matrix.ts';

export interface Style {
  readonly colours: boolean;
}

/** @see ECMA-48, SGR */
const CODES = { green: 32, red: 31, yellow: 33, dim: 2, bold: 1 } as const;

export function paint(text: string, colour: keyof typeof CODES, { colours }: Style): string {
  return colours ? `\u001b[${CODES[colour]}m${text}\u001b[0m` : text;
}

const plain = { style: { head: [], border: [], compact: true } };

/** Rows send, columns receive: ✓ reached, ✗ met silence, ! was not as expected. */
export function formatGrid(rows: readonly Row[], style: Style): string {
  const names = [...new Set(rows.map(({ cell }) => cell.from))];
  const table = new Table({
    ...plain,
    head: ['from \\ to', ...names],
    colAligns: ['left', ...names.map(() => 'center' as const)],
  });
  for (const from of names)
    table.push([
      from,
      ...names.map((to) => {
        const row = rows.find(({ cell }) => cell.from === from && cell.to === to);
        return row ? mark(row, style) : paint('·', 'dim', style);
      }),
    ]);
  return table.toString();
}

export function formatRows(rows: readonly Row[], style: Style): string {
  const table = new Table({
    ...plain,
    head: ['from', 'to', 'expected', 'observed', 'as expected', 'ms'],
    colAligns: ['left', 'left', 'left', 'left', 'center', 'right'],
  });
  for (const row of rows) {
    const { cell, verdict } = row;
    const observed = verdict.kind === 'neither' ? verdict.why : verdict.kind;
    const verdictMark = row.asExpected ? paint('✓', 'green', style) : paint('✗', 'red', style);
    table.push([cell.from, cell.to, cell.expected, observed, verdictMark, verdict.elapsedMs.toFixed(1)]);
  }
  return table.toString();
}

function mark({ verdict, asExpected }: Row, style: Style): string {
  const symbol = verdict.kind === 'allowed' ? '✓' : verdict.kind === 'denied' ? '✗' : '?';
  return asExpected ? paint(symbol, 'green', style) : paint(`${symbol}!`, 'red', style);
}
