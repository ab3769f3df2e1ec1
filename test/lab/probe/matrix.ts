/**
 * Which ways are open, expected beside observed. "Allowed" is an answer from the very listener that was meant; "denied" is silence until a
 * sentinel sent behind the probe is back, from a listener that a witness reaches right after. A refusal, an ICMP error or a dead listener
 * is neither.
 */
import type { Prober, TcpResult, UdpResult } from './prober.ts';

export type Expectation = 'allowed' | 'denied';

export type Verdict =
  | { readonly kind: 'allowed' | 'denied'; readonly elapsedMs: number }
  /** proves nothing; `why` is for a person */
  | { readonly kind: 'neither'; readonly why: string; readonly elapsedMs: number };

export interface Cell {
  readonly from: string;
  readonly to: string;
  readonly expected: Expectation;
  /** `id`: of the listener that has to answer; absent: any that accepts will do, for servers that are not ours */
  readonly probe: () => Promise<TcpResult | UdpResult>;
  readonly id?: string;
  /** reaches the same listener by an allowed way; asked only where the probe was met with silence */
  readonly witness?: () => Promise<TcpResult | UdpResult>;
}

export interface Row {
  readonly cell: Cell;
  readonly verdict: Verdict;
  readonly asExpected: boolean;
}

/** One TCP probe of a listener with an id. */
export interface TcpCellOptions {
  readonly from: Prober;
  readonly fromName: string;
  readonly toName: string;
  readonly address: string;
  readonly port: number;
  readonly id?: string;
  readonly expected: Expectation;
  readonly bindAddress?: string;
  /** who reaches the listener, and at which address if at another */
  readonly witness: { readonly from: Prober; readonly address?: string };
}

export function tcpCell(options: TcpCellOptions): Cell {
  const { from, address, port, witness, id, bindAddress } = options;
  const connectOnly = id === undefined;
  const own = bindAddress === undefined ? {} : { bindAddress };
  return {
    from: options.fromName,
    to: options.toName,
    expected: options.expected,
    ...(id === undefined ? {} : { id }),
    probe: () => from.tcpConnect(address, port, { connectOnly, ...own }),
    witness: () => witness.from.tcpConnect(witness.address ?? address, port, { connectOnly }),
  };
}

/** All at once. */
export function runMatrix(cells: readonly Cell[]): Promise<readonly Row[]> {
  return Promise.all(
    cells.map(async (cell) => {
      const result = await cell.probe();
      // After the probe, not beside it: the listener was alive until its end.
      const verdict = judge(cell, result, result.outcome === 'timeout' ? await cell.witness?.() : undefined);
      return { cell, verdict, asExpected: verdict.kind === cell.expected };
    }),
  );
}

/** What a probe proves. Pure. */
export function judge(
  { id }: Pick<Cell, 'id'>,
  result: TcpResult | UdpResult,
  witness: TcpResult | UdpResult | undefined,
): Verdict {
  const { outcome, elapsedMs } = result;
  const neither = (why: string): Verdict => ({ kind: 'neither', why, elapsedMs });
  if (outcome === 'open' || outcome === 'answered')
    return id === undefined || result.id === id
      ? { kind: 'allowed', elapsedMs }
      : neither(result.id === undefined ? 'connected to something silent' : `answered by ${result.id}`);
  if (outcome !== 'timeout') return neither(`${outcome}${result.error ? ` (${result.error})` : ''}`);
  if (witness === undefined) return neither('silence, and no witness that the listener lives');
  const alive =
    (witness.outcome === 'open' || witness.outcome === 'answered') && (id === undefined || witness.id === id);
  return alive ? { kind: 'denied', elapsedMs } : neither(`silence, but the witness met ${witness.outcome} too`);
}
