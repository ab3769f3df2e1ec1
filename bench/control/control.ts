/**
 * Tenants created through one controller, a request at a time and many at once: how long each takes and how many come about in a
 * second. Beside it what etcd alone does with commits of the same size, through the same client: the limit of any controller over it.
 */
import { openEtcdStore } from '../../controller/store/etcd-store.ts';
import type { Store } from '../../controller/store/store.ts';
import { formatCount, formatValue } from '../format.ts';
import { KeepAliveClient } from '../keep-alive-client.ts';
import type { Figure, Part, PartResult, RunOptions, Target } from '../result.ts';
import { summarise } from '../sample.ts';
import { installedTools } from '../tools.ts';
import { ControllerProcess } from './controller-process.ts';

const TENET = 'Tenet (POST /v1/tenants)';
const ETCD = 'etcd alone (one commit of that size)';
const RATE = 'tenants created in a second';
const LATENCY = 'one tenant created';
const CONCURRENCIES = [1, 16, 64] as const;
const WANTED = { perSecond: 1500, latencyUs: 10_000 } as const;

export const control: Part = {
  name: 'control',
  title: 'Tenants created by REST through one controller, etcd on its disk',
  scale: 'at once',
  baseline: TENET,
  charts: [
    { title: 'Tenants created in a second', kind: 'bars', operations: [RATE] },
    { title: 'One tenant created, median', kind: 'bars', operations: [LATENCY] },
  ],
  run: runControl,
};

/** One thing done, the `index`th of its kind. @throws when it could not be */
type Work = (lane: number, index: number) => Promise<void>;

interface Contestant {
  readonly subject: string;
  readonly work: Work;
}

/** What a contestant did at one concurrency: one rate for each turn, all latencies. */
interface Times {
  readonly rates: number[];
  readonly latenciesUs: number[];
}

async function runControl({ quick, signal, progress }: RunOptions): Promise<PartResult> {
  progress('starting a controller and its etcd');
  const controller = await ControllerProcess.start(signal);
  const clients: KeepAliveClient[] = [];
  let store: Store | undefined;
  try {
    for (let lane = 0; lane < Math.max(...CONCURRENCIES); lane++)
      clients.push(await KeepAliveClient.connect(controller.url, controller.token));
    store = openEtcdStore({ endpoints: [controller.etcdUrl], prefix: '/bench/' });
    const contestants = [
      { subject: TENET, work: createTenants(clients) },
      { subject: ETCD, work: commitAlone(store) },
    ];
    const figures = await measure(contestants, quick ? { rounds: 4, turnMs: 600 } : { rounds: 9, turnMs: 1000 }, {
      signal,
      progress,
    });
    return { figures, targets: judge(figures), tools: installedTools(['etcd']), skipped: [] };
  } finally {
    for (const client of clients) client.close();
    await store?.close();
    await controller.close();
  }
}

function createTenants(clients: readonly KeepAliveClient[]): Work {
  return async (lane, index) => {
    const answer = await clients[lane]?.call('POST', '/v1/tenants', { name: `bench-${index}` });
    if (answer?.status !== 201) throw new Error(`POST /v1/tenants: ${answer?.status} ${answer?.body}`);
  };
}

/** As many guards and writes as a tenant takes, of the size of its records. */
function commitAlone(store: Store): Work {
  const record = JSON.stringify({ schema: 1, text: 'x'.repeat(300) });
  return async (_, index) => {
    const keys = ['tenant', 'vni', 'subnet', 'name', 'namespace'].map((kind) => `${kind}/${index}`);
    const { committed } = await store.commit(
      [
        ...keys.slice(0, 4).map((key) => ({ kind: 'absent', key }) as const),
        { kind: 'emptyRange', from: `inside/${index}/`, to: `inside/${index}0` },
      ],
      keys.map((key, place) => ({ kind: 'put', key, value: place === 0 ? record : '{"schema":1}' })),
    );
    if (!committed) throw new Error('etcd refused a commit');
  };
}

async function measure(
  contestants: readonly Contestant[],
  { rounds, turnMs }: { readonly rounds: number; readonly turnMs: number },
  { signal, progress }: Pick<RunOptions, 'signal' | 'progress'>,
): Promise<Figure[]> {
  const lines = CONCURRENCIES.flatMap((concurrency) =>
    contestants.map(({ subject, work }) => {
      const times: Times = { rates: [], latenciesUs: [] };
      return { subject, work, concurrency, times };
    }),
  );
  let created = 0;
  const next = () => created++;
  // The first round is for compilers and connections, and counts nowhere.
  for (let round = 0; round <= rounds; round++) {
    progress(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    for (const { work, concurrency, times } of lines) {
      signal.throwIfAborted();
      await takeTurn(work, concurrency, turnMs, next, round === 0 ? { rates: [], latenciesUs: [] } : times);
    }
  }
  return lines.flatMap(({ subject, concurrency, times }): Figure[] => [
    { operation: RATE, subject, scale: concurrency, ...summarise(times.rates, '/s') },
    { operation: LATENCY, subject, scale: concurrency, ...summarise(times.latenciesUs, 'µs') },
  ]);
}

/** So many lanes at once, each doing one after the other until the time is up. */
async function takeTurn(work: Work, lanes: number, turnMs: number, next: () => number, times: Times): Promise<void> {
  const started = performance.now();
  const end = started + turnMs;
  let done = 0;
  const runLane = async (lane: number): Promise<void> => {
    while (performance.now() < end) {
      const before = performance.now();
      await work(lane, next());
      times.latenciesUs.push((performance.now() - before) * 1000);
      done++;
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, lane) => runLane(lane)));
  times.rates.push((done / (performance.now() - started)) * 1000);
}

function judge(figures: readonly Figure[]): Target[] {
  const median = (operation: string, scale: number) =>
    figures.find((each) => each.subject === TENET && each.operation === operation && each.scale === scale)?.value ??
    Number.NaN;
  const rate = median(RATE, 64);
  const latency = median(LATENCY, 1);
  return [
    {
      what: 'tenants created in a second, 64 at once',
      wanted: `≥ ${formatCount(WANTED.perSecond)}`,
      measured: formatCount(Math.round(rate)),
      met: rate >= WANTED.perSecond,
    },
    {
      what: 'one tenant created, one at a time, median',
      wanted: `≤ ${formatValue(WANTED.latencyUs, 'µs')}`,
      measured: formatValue(latency, 'µs'),
      met: latency <= WANTED.latencyUs,
    },
  ];
}
