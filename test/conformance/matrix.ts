/** Tables of expected and observed for a terminal: only those that show something wrong, like ones once. Pure. */
import Table from 'cli-table3';
import type { Cell, Observation } from './probes.ts';

const SIGNS: Readonly<Record<Observation, string>> = { allowed: '✓', denied: '✗', refused: 'R', arrived: '1' };
const LEGEND =
  'Rows call, columns are called: ✓ allowed, ✗ denied (silence), R refused, 1 arrived but not answered; ' +
  'expected→observed where they differ.';

const plain = { style: { head: [], border: [], compact: true } };

export const isWrong = ({ expected, observed }: Cell): boolean => expected !== observed;

/** @returns '' if nothing is wrong */
export function formatWrong(cells: readonly Cell[]): string {
  const grids = new Map<string, string[]>();
  const kinds = new Set(cells.map(({ way }) => `${way.protocol} ${way.port}`));
  for (const kind of kinds) {
    const ofKind = cells.filter(({ way }) => `${way.protocol} ${way.port}` === kind);
    if (!ofKind.some(isWrong)) continue;
    const grid = formatGrid(ofKind);
    grids.set(grid, [...(grids.get(grid) ?? []), kind]);
  }
  if (grids.size === 0) return '';
  const why = new Set(cells.flatMap((cell) => (isWrong(cell) && cell.why !== undefined ? [cell.why] : [])));
  return [
    ...[...grids].map(([grid, titles]) => `${titles.join(', ')}\n${grid}`),
    LEGEND,
    ...(why.size > 0 ? [`Refused by: ${[...why].join(', ')}.`] : []),
  ].join('\n');
}

function formatGrid(cells: readonly Cell[]): string {
  const rows = [...new Set(cells.map(({ way }) => way.from))];
  const columns = [...new Set(cells.map(({ way }) => way.to))];
  const byWay = new Map(cells.map((cell) => [`${cell.way.from} ${cell.way.to}`, cell]));
  const table = new Table({
    ...plain,
    head: ['', ...columns],
    colAligns: ['left', ...columns.map(() => 'center' as const)],
  });
  for (const from of rows)
    table.push([
      from,
      ...columns.map((to) => {
        const cell = byWay.get(`${from} ${to}`);
        return cell === undefined ? '' : sign(cell);
      }),
    ]);
  return table.toString();
}

function sign(cell: Cell): string {
  return isWrong(cell) ? `${SIGNS[cell.expected]}→${SIGNS[cell.observed]}` : SIGNS[cell.observed];
}
