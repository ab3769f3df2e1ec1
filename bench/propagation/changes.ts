/**
 * Changes made by REST and timed until every node concerned has them in its kernel and has said so (`?wait=enforced`); beside each the
 * same write without waiting: what is left is etcd, the agents and the kernels. Knows no scene: what is changed is the caller's.
 */
import type { Lab } from '../../test/lab/lab.ts';
import { hostFiles } from '../../test/lab/topology.ts';
import { formatCount, formatValue } from '../format.ts';
import { inLanes } from '../in-lanes.ts';
import { KeepAliveClient } from '../keep-alive-client.ts';
import type { Figure, Target } from '../result.ts';
import { summarise } from '../sample.ts';

/** That have to acknowledge each change. */
export const NODES = 3;
export const ENFORCED = `Tenet, enforced on ${NODES} nodes`;
export const WRITTEN = 'the write alone, not waited for';
const WANTED_MEDIAN_US = 10_000;
const WANTED_P99_US = 50_000;
/** Before the first that counts, for compilers and connections. */
const WARM_UP = 10;
const LANES = 16;

/** One change, which another of the same list takes back. */
export interface Change {
  readonly operation: string;
  readonly method: 'PATCH' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body?: object;
}

export interface MeasureOptions {
  /** of the figures */
  readonly scale: number;
  /** changes of each kind */
  readonly times: number;
  readonly signal: AbortSignal;
}

/** The socket of the lab's first controller. */
export function controllerSocket(lab: Lab): string {
  return hostFiles(lab.topology, lab.controllers[0]?.name ?? '').controllerSocket;
}

/**
 * Both subjects take turns.
 * @param changes in this order, again and again: after the last, everything is as before the first; equally many of each operation
 */
export async function measureChanges(
  client: KeepAliveClient,
  changes: readonly Change[],
  { scale, times, signal }: MeasureOptions,
): Promise<Figure[]> {
  const tookUs = new Map<string, Map<string, number[]>>();
  const inRound = changes.filter(({ operation }) => operation === changes[0]?.operation).length;
  const rounds = Math.ceil((times + WARM_UP) / inRound);
  for (let round = 0; round < rounds; round++) {
    for (const subject of [ENFORCED, WRITTEN]) {
      for (const change of changes) {
        signal.throwIfAborted();
        const us = subject === ENFORCED ? await enforce(client, change) : await write(client, change);
        if (round * inRound < WARM_UP) continue;
        const ofOperation = tookUs.get(change.operation) ?? new Map<string, number[]>();
        tookUs.set(change.operation, ofOperation);
        ofOperation.set(subject, [...(ofOperation.get(subject) ?? []), us]);
      }
      // Changes that were not waited for must not run into what is timed next.
      if (subject === WRITTEN) for (const change of changes) await enforce(client, change);
    }
  }
  return [...tookUs].flatMap(([operation, ofOperation]) =>
    Array.from(ofOperation, ([subject, us]): Figure => ({ operation, subject, scale, ...summarise(us, 'µs') })),
  );
}

/** @returns microseconds @throws Error unless all nodes have it */
async function enforce(client: KeepAliveClient, { method, path, body }: Change): Promise<number> {
  const started = performance.now();
  const answer = await client.call(method, `${path}?wait=enforced&timeout=10s`, body);
  const us = (performance.now() - started) * 1000;
  const { status } = JSON.parse(answer.body || '{}') as {
    status?: { enforced?: boolean; nodes?: readonly { readonly enforcedAt?: string }[] };
  };
  const acknowledged = status?.nodes?.filter(({ enforcedAt }) => enforcedAt !== undefined).length;
  if (status?.enforced !== true || acknowledged !== NODES)
    throw new Error(`${method} ${path}: ${answer.status}, not enforced on ${NODES} nodes: ${answer.body}`);
  return us;
}

/** @returns microseconds */
async function write(client: KeepAliveClient, { method, path, body }: Change): Promise<number> {
  const started = performance.now();
  await expectAnswer(client, method, path, body);
  return (performance.now() - started) * 1000;
}

/** @throws Error unless the answer is that it was done */
export async function expectAnswer(
  client: KeepAliveClient,
  method: string,
  path: string,
  body?: object,
): Promise<void> {
  const answer = await client.call(method, path, body);
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
}

/** Makes many things, by several clients at once. */
export async function makeMany<T>(
  lab: Lab,
  things: readonly T[],
  make: (client: KeepAliveClient, thing: T) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const all: KeepAliveClient[] = [];
  try {
    for (let lane = 0; lane < LANES; lane++) {
      all.push(await KeepAliveClient.connect(controllerSocket(lab), lab.token));
    }
    const free = [...all];
    const makeOne = async (thing: T): Promise<void> => {
      const client = free.pop();
      if (client === undefined) throw new Error('more at once than clients');
      await make(client, thing);
      free.push(client);
    };
    await inLanes(things, LANES, makeOne, signal);
  } finally {
    for (const client of all) client.close();
  }
}

/** @param scale what the figures' scale counts */
export function judgeChanges(figures: readonly Figure[], scale: string): Target[] {
  return figures
    .filter(({ subject }) => subject === ENFORCED)
    .flatMap(({ operation, scale: count, value, p99 = Number.NaN }): Target[] => {
      const what = `${operation}, ${formatCount(count)} ${scale}`;
      return [target(`${what}, median`, WANTED_MEDIAN_US, value), target(`${what}, p99`, WANTED_P99_US, p99)].filter(
        ({ measured }) => measured !== '–',
      );
    });
}

function target(what: string, wantedUs: number, us: number): Target {
  return { what, wanted: `≤ ${formatValue(wantedUs, 'µs')}`, measured: formatValue(us, 'µs'), met: us <= wantedUs };
}
