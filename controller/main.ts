/**
 * tenet-controller's edge: flags, log, token, etcd, listeners and signals. It puts the parts together, starts them in an order in
 * which REST answers from the beginning, and stops them in the reverse one.
 */
import type { RequestListener } from 'node:http';
import type { Logger } from 'pino';
import packageJson from '../package.json' with { type: 'json' };
import { buildApp } from './api/app.ts';
import { tokenCheck } from './api/authentication.ts';
import { createMetrics } from './api/metrics.ts';
import { type ControllerConfig, flagOf, parseConfig, UsageExit } from './config.ts';
import { Connections } from './connections.ts';
import { type EmbeddedEtcd, startEmbeddedEtcd } from './embedded-etcd.ts';
import { InvalidInput } from './errors.ts';
import { EtcdStartError } from './etcd-preconditions.ts';
import { type Listener, type ListenOptions, listen } from './listen.ts';
import { createLog } from './log.ts';
import { makeDefaultTenant } from './operations/default-tenant.ts';
import { readTraffic } from './operations/denials.ts';
import { knownProblems } from './operations/problems.ts';
import { Registry } from './operations/registry.ts';
import { readLastBackup } from './operations/store-facts.ts';
import { openEtcdKeeper, openEtcdStore } from './store/etcd-store.ts';
import { followingProblems } from './store/findings.ts';
import type { StoreKeeper } from './store/keeper.ts';
import { readOrCreateToken } from './token.ts';
import { watchBackups } from './upkeep/backup-care.ts';
import { finishDeletions } from './upkeep/deletions.ts';
import { campaign } from './upkeep/election.ts';
import { watchRecords } from './upkeep/record-care.ts';
import { endRecoveries } from './upkeep/recovery.ts';
import { keepCompacted, watchStore } from './upkeep/store-care.ts';

/** How long requests under way may take once we are told to stop. */
const DRAIN_MS = 10_000;

const { version } = packageJson;

/** Things to close, the last one opened first. */
type Closers = (() => Promise<unknown>)[];

async function run(config: ControllerConfig, log: Logger, closers: Closers): Promise<void> {
  const token = readOrCreateToken(config.tokenFile);
  const etcd = await openEtcd(config, log);
  if (etcd.child !== undefined) closers.push(() => etcd.child?.close() ?? Promise.resolve());
  const metrics = createMetrics();
  const store = metrics.watchStore(
    openEtcdStore({ endpoints: etcd.endpoints, timeoutMs: config.etcdTimeoutMs, logger: log }),
  );
  closers.push(() => store.close());
  const registry = new Registry({ name: config.name, store, cluster: config.cluster, log });
  metrics.countTenants(() => registry.claims.tenantCount);
  metrics.countPackets(() => readTraffic(registry));
  metrics.countProblems(() => knownProblems(registry));
  metrics.tellLastBackup(() => readLastBackup(store));
  closers.push(() => registry.close());
  const keeper = openEtcdKeeper({ endpoints: etcd.endpoints, timeoutMs: config.etcdTimeoutMs });
  const caring = new AbortController();
  const care = watchStore({ keeper, book: registry.book }, caring.signal, (state) => {
    metrics.setStoreState(state);
    registry.noteStoreState(state);
  });
  closers.push(async () => {
    caring.abort();
    // First, so that a look under way ends at once, also while etcd is away.
    keeper.close();
    await care;
  });
  const app = await buildApp({ registry, metrics, token, version, log });
  const hasToken = tokenCheck(token);
  const connections = new Connections({ isAuthentic: ({ headers }) => hasToken(headers.authorization) });
  const listeners = await listenOnAll(config, (request, response) => app.routing(request, response), {
    connections,
    log,
  });
  closers.push(() => Promise.all(listeners.map((listener) => listener.close(DRAIN_MS))));
  // Requests that wait for nodes get their answer now, so that finishing requests takes no longer than the others need.
  closers.push(() => registry.enforcement.close());
  // Streams would never end by themselves.
  closers.push(() => registry.denials.close());
  announce(config, listeners, etcd.endpoints, log);
  if (!(await registry.start())) return;
  const { defaultTenant } = config.cluster;
  if (defaultTenant !== undefined) await registry.persist(() => makeDefaultTenant(registry, defaultTenant));
  log.info({ op: 'start' }, 'ready');
  await keepUp(config, registry, keeper, log, closers);
}

async function openEtcd(
  { etcd }: ControllerConfig,
  log: Logger,
): Promise<{ readonly endpoints: readonly string[]; readonly child?: EmbeddedEtcd }> {
  if (etcd.kind === 'external') return { endpoints: etcd.endpoints };
  const { dataDir, listenAddress, port } = etcd;
  const child = await startEmbeddedEtcd({ dataDir, listenAddress, clientPort: port, logger: log });
  return { endpoints: [child.etcdUrl], child };
}

async function listenOnAll(
  { listen: addresses }: ControllerConfig,
  handler: RequestListener,
  options: ListenOptions,
): Promise<Listener[]> {
  const listeners: Listener[] = [];
  for (const address of addresses) listeners.push(await listen(address, handler, options));
  return listeners;
}

function announce(
  config: ControllerConfig,
  listeners: readonly Listener[],
  etcd: readonly string[],
  log: Logger,
): void {
  const urls = listeners.map(({ url }) => url);
  const page = urls.find((url) => url.startsWith('http://'));
  log.info({ op: 'start', version, listen: urls }, `REST is served on ${urls.join(', ')}`);
  if (page !== undefined) log.info({ op: 'start' }, `REST API docs are at ${page}/docs`);
  log.info({ op: 'start', tokenFile: config.tokenFile }, `the bearer token is in ${config.tokenFile}`);
  log.info({ op: 'start', etcd }, 'the store is etcd');
}

/** Runs until the views end: that is when the registry is closed, or when they can no longer be kept up. */
async function keepUp(
  config: ControllerConfig,
  registry: Registry,
  keeper: StoreKeeper,
  log: Logger,
  closers: Closers,
): Promise<void> {
  const { store, book } = registry;
  const standing = new AbortController();
  const upkeep = campaign(
    store,
    config.name,
    async (signal, guard) => {
      log.info({ op: 'upkeep' }, 'leading: upkeep begins');
      const deletions = finishDeletions({ store, log, book }, signal, guard);
      // The embedded one compacts by itself.
      const compaction = config.etcd.kind === 'external' ? keepCompacted({ keeper, book, log }, signal) : undefined;
      const recovery = endRecoveries({ store, log, book }, signal, guard);
      const { warnBackupDays: days } = config;
      const backups = days === 0 ? undefined : watchBackups({ store, book, days }, signal);
      const records = watchRecords({ store, book }, signal);
      await Promise.all([deletions, recovery, compaction, backups, records]);
      log.info({ op: 'upkeep' }, 'no longer leading');
    },
    standing.signal,
    followingProblems(book),
  );
  closers.push(async () => {
    standing.abort();
    await upkeep;
  });
  await Promise.race([registry.followed(), upkeep]);
}

/** Closes everything once; a second signal does not wait for that. */
function stopper(log: Logger, closers: Closers): (exitCode: number) => Promise<void> {
  let stopping: Promise<void> | undefined;
  const stop = async (exitCode: number): Promise<void> => {
    for (const close of closers.reverse())
      await close().catch((error: unknown) => log.warn({ op: 'stop', err: error }, 'did not close cleanly'));
    process.exit(exitCode);
  };
  return (exitCode) => {
    stopping ??= stop(exitCode);
    return stopping;
  };
}

function main(): void {
  const config = parseConfig(process.argv.slice(2), process.env, version, (text) => process.stdout.write(text));
  const log = createLog(config.name, config.logLevel);
  const closers: Closers = [];
  const stop = stopper(log, closers);
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      log.info({ op: 'stop', signal }, 'stopping: finishing requests; a second signal stops at once');
      for (const again of ['SIGTERM', 'SIGINT'] as const) process.once(again, () => process.exit(1));
      void stop(0);
    });
  run(config, log, closers).catch((error: unknown) => {
    const expected = error instanceof InvalidInput || error instanceof EtcdStartError;
    if (error instanceof InvalidInput)
      for (const { field, message } of error.errors) process.stderr.write(`error: ${flagOf(field)}: ${message}\n`);
    else
      log.fatal(
        { op: 'start', ...(expected ? { reason: error.message } : { err: error }) },
        'the controller cannot go on',
      );
    void stop(error instanceof InvalidInput ? 2 : 1);
  });
}

try {
  main();
} catch (error) {
  if (!(error instanceof UsageExit)) throw error;
  if (error.exitCode !== 0)
    process.stderr.write(`${error.message.startsWith('error: ') ? '' : 'error: '}${error.message}\n`);
  process.exitCode = error.exitCode;
}
