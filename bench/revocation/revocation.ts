/**
 * How long a flow that was allowed goes on once a policy forbids it: the last packet that arrives, seen from the kernel's transaction, from
 * the REST call and from its answer (`?wait=enforced`). UDP and TCP, both ways at once: what counts is the later of both.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Container } from '../../test/lab/container.ts';
import { type Lab, startLab } from '../../test/lab/lab.ts';
import { waitFor } from '../../test/lab/probe/deadline.ts';
import { formatValue } from '../format.ts';
import { KeepAliveClient } from '../keep-alive-client.ts';
import { controllerSocket, expectAnswer } from '../propagation/changes.ts';
import type { Figure, Part, PartResult, RunOptions, Target } from '../result.ts';
import { summarise } from '../sample.ts';
import { realtimeUs } from '../system/clock.ts';
import { installedTools } from '../tools.ts';
import { type Arrival, FlowPair, type FlowProtocol, PROTOCOLS, Transactions } from './flows.ts';

const TENANT = 'bench';
const POLICY = `/v1/tenants/${TENANT}/namespaces/${TENANT}/policies/revoked?wait=enforced&timeout=10s`;
const REVOKED = { role: 'revoked' } as const;
const SUBJECTS = { nftables: 'Tenet (nftables)', iptables: 'Tenet (iptables)' } as const;
type Backend = keyof typeof SUBJECTS;

/** Until a flow counts as having stopped. */
const SILENCE_MS = 60;
/** Packets of each kind that a flow must bring to count as going on. */
const FLOWING = { packets: 5, withinMs: 30 } as const;
/** A sender that a busy machine stopped meanwhile shows nothing. */
const MOST_TRIES = 3;
const WANTED_US = 100_000;

const transactionOf = (protocol: FlowProtocol) => `last ${protocol} packet after the kernel’s transaction`;
const callOf = (protocol: FlowProtocol) => `last ${protocol} packet after the REST call began`;
const answerOf = (protocol: FlowProtocol) => `last ${protocol} packet after its answer`;

export const revocation: Part = {
  name: 'revocation',
  title: 'Flows under way when a policy forbids them: their last packet',
  scale: 'nodes that the two pods are on',
  baseline: SUBJECTS.nftables,
  charts: [{ title: 'From the REST call to the last packet', kind: 'bars', operations: PROTOCOLS.map(callOf) }],
  run: runRevocation,
};

async function runRevocation(options: RunOptions): Promise<PartResult> {
  const samples = new Samples();
  for (const backend of ['nftables', 'iptables'] as const) await measureBackend(backend, samples, options);
  return { figures: samples.figures(), targets: samples.judge(), tools: installedTools(['etcd']), skipped: [] };
}

async function measureBackend(backend: Backend, samples: Samples, options: RunOptions): Promise<void> {
  const { quick, signal, progress } = options;
  progress(`a lab of two nodes on ${backend}`);
  const lab = await startLab({ nodes: 2, backend, signal });
  try {
    const client = await KeepAliveClient.connect(controllerSocket(lab), lab.token);
    try {
      await expectAnswer(client, 'POST', '/v1/tenants', { name: TENANT });
      const caller = await lab.attach('node1', { name: 'caller', tenant: TENANT });
      for (const [nodes, host] of [
        [1, 'node1'],
        [2, 'node2'],
      ] as const) {
        const revoked = await lab.attach(host, { name: `revoked-${nodes}`, tenant: TENANT, labels: REVOKED });
        const times = quick ? 10 : 50;
        progress(`${backend}, pods on ${nodes === 1 ? 'one node' : 'two nodes'}: flows stopped ${times} times`);
        const each = { backend, nodes, times, signal };
        await measurePair(lab, client, [caller, revoked], each, samples);
      }
    } finally {
      client.close();
    }
  } finally {
    progress('taking the lab down');
    await lab.close();
  }
}

interface Each {
  readonly backend: Backend;
  readonly nodes: number;
  readonly times: number;
  readonly signal: AbortSignal;
}

async function measurePair(
  lab: Lab,
  client: KeepAliveClient,
  [caller, revoked]: readonly [Container, Container],
  { backend, nodes, times, signal }: Each,
  samples: Samples,
): Promise<void> {
  const transactions = await Transactions.listen(lab.host(revoked.host.name).netns);
  let pair: FlowPair | undefined;
  try {
    pair = await FlowPair.start(caller, revoked);
    // The first is for compilers and caches.
    let counted = -1;
    for (let tries = 0; counted < times; tries++) {
      if (tries > MOST_TRIES * times) throw new Error('the flows hardly ever flowed when they were to be stopped');
      signal.throwIfAborted();
      await waitUntilFlowing(pair, signal);
      const stopped = await stop(client, pair, transactions);
      await expectAnswer(client, 'DELETE', POLICY);
      if (stopped === undefined) continue;
      if (counted >= 0) samples.add(backend, nodes, stopped);
      counted++;
    }
  } finally {
    pair?.close();
    transactions.close();
  }
}

/** Once both protocols arrive at both ends again; TCP takes its time for it. */
function waitUntilFlowing(pair: FlowPair, signal: AbortSignal): Promise<true> {
  pair.arrivals();
  return waitFor(() => allFlow(pair, pair.arrivals(), FLOWING.packets), {
    what: 'UDP and TCP flow both ways',
    everyMs: FLOWING.withinMs,
    timeoutMs: 10_000,
    signal,
  });
}

/** Did so many packets of each protocol arrive at each end? */
function allFlow(pair: FlowPair, arrivals: readonly Arrival[], packets: number): boolean {
  return PROTOCOLS.every((wanted) =>
    pair.ends.every(
      (end) => arrivals.filter(({ protocol, to }) => protocol === wanted && to === end).length >= packets,
    ),
  );
}

/** One revocation, in microseconds since 1970. */
interface Stopped {
  readonly calledUs: number;
  readonly answeredUs: number;
  /** undefined where the kernel does not tell */
  readonly transactionUs: number | undefined;
  /** of the last packet of each, whichever way it went */
  readonly lastUs: ReadonlyMap<FlowProtocol, number>;
}

/** @returns undefined if not all flows were under way */
async function stop(client: KeepAliveClient, pair: FlowPair, transactions: Transactions): Promise<Stopped | undefined> {
  const calledUs = realtimeUs();
  const spec = { podSelector: { matchLabels: REVOKED }, policyTypes: ['Ingress', 'Egress'] };
  await expectAnswer(client, 'PUT', POLICY, spec);
  const answeredUs = realtimeUs();
  await sleep(SILENCE_MS);
  const transactionUs = transactions.lastBetween(calledUs, answeredUs);
  const arrivals = pair.arrivals();
  if (!allFlow(pair, arrivals, 1)) return undefined;
  const lastUs = new Map<FlowProtocol, number>();
  for (const { protocol, atUs } of arrivals) lastUs.set(protocol, Math.max(atUs, lastUs.get(protocol) ?? 0));
  return { calledUs, answeredUs, transactionUs, lastUs };
}

/** What was measured, by operation, backend and nodes. */
class Samples {
  readonly #lists = new Map<string, Omit<Figure, keyof ReturnType<typeof summarise>> & { readonly us: number[] }>();

  add(backend: Backend, nodes: number, { calledUs, answeredUs, transactionUs, lastUs }: Stopped): void {
    for (const [protocol, us] of lastUs) {
      if (backend === 'nftables') {
        if (transactionUs === undefined) throw new Error('no transaction of nftables was heard of');
        this.#push(transactionOf(protocol), backend, nodes, us - transactionUs);
      }
      this.#push(callOf(protocol), backend, nodes, us - calledUs);
      this.#push(answerOf(protocol), backend, nodes, us - answeredUs);
    }
  }

  figures(): Figure[] {
    return [...this.#lists.values()].map(({ us, ...of }) => ({ ...of, ...summarise(us, 'µs') }));
  }

  /** The worst of all counts. */
  judge(): Target[] {
    return [...this.#lists.values()].flatMap(({ operation, subject, scale, us }): Target[] => {
      if (PROTOCOLS.some((protocol) => operation === callOf(protocol))) return [];
      const isAnswer = PROTOCOLS.some((protocol) => operation === answerOf(protocol));
      const wanted = isAnswer ? 0 : WANTED_US;
      const worst = Math.max(...us);
      return [
        {
          what: `${subject}: ${operation}, pods on ${scale === 1 ? 'one node' : 'two nodes'}, at worst`,
          wanted: isAnswer ? 'none after it' : `≤ ${formatValue(wanted, 'µs')}`,
          measured: formatValue(worst, 'µs'),
          met: worst <= wanted,
        },
      ];
    });
  }

  #push(operation: string, backend: Backend, scale: number, us: number): void {
    const key = `${operation} ${backend} ${scale}`;
    const list = this.#lists.get(key) ?? { operation, subject: SUBJECTS[backend], scale, us: [] };
    this.#lists.set(key, list);
    list.us.push(us);
  }
}
