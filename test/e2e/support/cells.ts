/**
 * Cells of a matrix by TCP, UDP and ICMP: which end tries to reach which, what is expected, and a witness that the other end lives.
 * Tests say what is expected of which ends.
 */
import { expect } from 'vitest';
import { type Cell, type Expectation, runMatrix } from '../../lab/probe/matrix.ts';
import type { Prober, UdpResult } from '../../lab/probe/prober.ts';
import { TCP_PORT, UDP_PORT } from './stage.ts';

export const PROTOCOLS = ['TCP', 'UDP', 'ICMP'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** A host or pod that answers on the cast's ports with its name. */
export interface Target {
  readonly name: string;
  readonly address: string;
  /** reaches it whenever it lives */
  readonly witness: Prober;
  /** where the witness reaches it, if elsewhere */
  readonly witnessAddress?: string;
}

export interface Source {
  readonly name: string;
  readonly prober: Prober;
  readonly bindAddress?: string;
}

/** One cell for each protocol. */
export function cells(
  from: Source,
  to: Target,
  expected: Expectation,
  protocols: readonly Protocol[] = PROTOCOLS,
): Cell[] {
  const bind = from.bindAddress === undefined ? {} : { bindAddress: from.bindAddress };
  return protocols.map((protocol) => ({
    from: from.name,
    to: `${to.name} by ${protocol}`,
    expected,
    ...(protocol === 'ICMP' ? {} : { id: to.name }),
    probe: () => probe(protocol, from.prober, to.address, bind),
    witness: () => probe(protocol, to.witness, to.witnessAddress ?? to.address, {}),
  }));
}

function probe(protocol: Protocol, from: Prober, address: string, options: { bindAddress?: string }) {
  if (protocol === 'TCP') return from.tcpConnect(address, TCP_PORT, options);
  if (protocol === 'UDP') return from.udpExchange(address, UDP_PORT, options);
  return from.ping(address, options).then(({ outcome, elapsedMs }): UdpResult => ({ outcome, elapsedMs }));
}

/** Runs all at once and expects each to be as it should be. */
export async function expectMatrix(all: readonly Cell[]): Promise<void> {
  expect(await wrongCells(all), 'cells that are not as expected').toEqual([]);
}

/** The cells that are not as expected, in words. */
export async function wrongCells(all: readonly Cell[]): Promise<readonly string[]> {
  const rows = await runMatrix(all);
  return rows
    .filter(({ asExpected }) => !asExpected)
    .map(({ cell, verdict }) => {
      const why = verdict.kind === 'neither' ? `: ${verdict.why}` : '';
      return `${cell.from} > ${cell.to} should be ${cell.expected}, is ${verdict.kind}${why}`;
    });
}

/** Listens on the cast's ports under a name, for hosts that are not of the cast. */
export async function answerAs(name: string, prober: Prober, address?: string): Promise<void> {
  await prober.tcpListen(TCP_PORT, name, address);
  await prober.udpListen(UDP_PORT, name, address);
}
