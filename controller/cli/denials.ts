/**
 * Refused packets as REST gives them, in words: rows of a table that can grow, and the question that says why. Reads its JSON leniently.
 * Pure.
 */
import { isJson, type Json } from './connection.ts';

const TITLES = ['TIME', 'FROM', 'TO', 'PORT', 'DIRECTION', 'NODE'] as const;
const GAP = '   ';

/** Rows under titles; as wide as the first rows need, since later ones are not known yet. */
export class DenialTable {
  readonly #tenant: string;
  readonly #widths: number[];

  /** @param first denials whose rows come first */
  constructor(tenant: string, first: readonly Json[]) {
    this.#tenant = tenant;
    const rows = [[...TITLES], ...first.map((denial) => this.#cells(denial))];
    this.#widths = TITLES.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  }

  formatTitles(): string {
    return this.#formatCells(TITLES);
  }

  formatRow(denial: Json): string {
    return this.#formatCells(this.#cells(denial));
  }

  #cells({ at, from, to, protocol, port, direction, reason, node, count }: Json): string[] {
    const service = port === undefined ? String(protocol) : `${String(port)}/${String(protocol)}`;
    const where = typeof count === 'number' && count > 1 ? `${service} ×${count}` : service;
    return [
      String(at),
      formatEnd(this.#tenant, from),
      formatEnd(this.#tenant, to),
      where,
      reason === 'flows' ? `${String(direction)}, too many flows` : String(direction),
      String(node),
    ];
  }

  /** A later row that is wider than its column widens it, so that those after it stand under it. */
  #formatCells(cells: readonly string[]): string {
    const padded = cells.map((cell, column) => {
      const width = Math.max(this.#widths[column] ?? 0, cell.length);
      this.#widths[column] = width;
      return cell.padEnd(width);
    });
    return `${padded.join(GAP).trimEnd()}\n`;
  }
}

/** What tells a denial from every other, over restarts of its agent as well. */
export function identify({ node, sequence, at }: Json): string {
  return `${String(node)}/${String(sequence)}/${String(at)}`;
}

/** `namespace/name (address)`, before it the tenant where it is another; the address alone where nothing else is known. */
function formatEnd(tenant: string, end: unknown): string {
  if (!isJson(end)) return '?';
  const name = nameOf(tenant, end);
  return name === undefined ? String(end.ip) : `${name} (${String(end.ip)})`;
}

function nameOf(tenant: string, end: Json): string | undefined {
  if (end.namespace === undefined || end.name === undefined) return undefined;
  const own = `${String(end.namespace)}/${String(end.name)}`;
  return end.tenant === undefined || end.tenant === tenant ? own : `${String(end.tenant)}/${own}`;
}

/** The command that says why such a packet is refused; undefined where it would not know. */
export function formatQuestion(tenant: string, { from, to, protocol, port, reason }: Json): string | undefined {
  if (!isJson(from) || !isJson(to) || reason === 'flows') return undefined;
  if (!['TCP', 'UDP', 'SCTP', 'ICMP'].includes(String(protocol))) return undefined;
  const ends = `--from ${nameOf(tenant, from) ?? String(from.ip)} --to ${nameOf(tenant, to) ?? String(to.ip)}`;
  const asked = [ends, ...(port === undefined ? [] : [`--port ${String(port)}`])];
  return ['tenetctl explain', ...asked, ...(protocol === 'TCP' ? [] : [`--protocol ${String(protocol)}`])].join(' ');
}
