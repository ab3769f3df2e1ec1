/**
 * What Prometheus is told: requests by route, tenants and their packets, calls to the store and their failures, the process itself. A
 * registry per controller, so that tests can run several in one process.
 */
import type { FastifyInstance } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry as PromRegistry } from 'prom-client';
import { Unavailable } from '../errors.ts';
import type { LastBackup } from '../model/kinds/last-backup.ts';
import type { TenantTraffic } from '../operations/denials.ts';
import type { PlacedProblem } from '../operations/problems.ts';
import type { StoreState } from '../store/keeper.ts';
import type { ConnectedStore } from '../store/store.ts';

export interface Metrics {
  readonly contentType: string;
  format(): Promise<string>;
  /** Times and counts every request of an application. */
  observe(app: FastifyInstance): void;
  /** The same store, its calls timed and its failures counted. */
  watchStore(store: ConnectedStore): ConnectedStore;
  /** Says how many tenants there are whenever it is asked. */
  countTenants(count: () => number): void;
  /**
   * Says how many packets nodes let pass and refused, read whenever it is asked: two series for each tenant and each node that has
   * something of it. None while they cannot be read (Unavailable), for an old count would look like silence.
   */
  countPackets(read: () => Promise<readonly TenantTraffic[]>): void;
  /** Says what the store said of itself last; undefined: nothing is known. */
  setStoreState(state: StoreState | undefined): void;
  /** Says how many problems of each kind there are, by the node or controller that found them, whenever it is asked. */
  countProblems(read: () => Promise<readonly PlacedProblem[]>): void;
  /** Says when the cluster was last backed up, read whenever it is asked; nothing where it never was, or the store is away. */
  tellLastBackup(read: () => Promise<LastBackup | undefined>): void;
}

export function createMetrics(): Metrics {
  const register = new PromRegistry();
  collectDefaultMetrics({ register });
  const requests = new Histogram({
    name: 'tenet_http_request_duration_seconds',
    help: 'Time from a request to its answer, by route',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [register],
  });
  const calls = new Histogram({
    name: 'tenet_store_call_duration_seconds',
    help: 'Time a call to the store takes',
    labelNames: ['operation'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2.5, 5],
    registers: [register],
  });
  const failures = new Counter({
    name: 'tenet_store_errors_total',
    help: 'Calls to the store that failed',
    labelNames: ['operation', 'code'],
    registers: [register],
  });
  const gauge = (name: string, help: string) =>
    new Gauge({ name, help, labelNames: ['endpoint'], registers: [register] });
  const file = gauge('tenet_store_file_bytes', 'Size of an etcd member’s database file');
  const used = gauge(
    'tenet_store_used_bytes',
    'What of it is in use: the rest is free once the member is defragmented',
  );
  const quota = gauge('tenet_store_quota_bytes', 'Size at which etcd refuses writes, where the member says');
  const timed = async <T>(operation: string, call: Promise<T>): Promise<T> => {
    const startedAt = performance.now();
    try {
      return await call;
    } catch (error) {
      failures.inc({ operation, code: String((error as { readonly code?: unknown }).code ?? 'internal') });
      throw error;
    } finally {
      calls.observe({ operation }, (performance.now() - startedAt) / 1000);
    }
  };
  return {
    contentType: register.contentType,
    format: () => register.metrics(),
    observe: (app) =>
      app.addHook('onResponse', async ({ method, routeOptions }, reply) => {
        // A stream lasts as long as its reader likes.
        if (String(reply.getHeader('content-type')).startsWith('text/event-stream')) return;
        const labels = { method, route: routeOptions.url ?? 'none', status: reply.statusCode };
        requests.observe(labels, reply.elapsedTime / 1000);
      }),
    watchStore: (store) => ({
      get: (key, options) => timed('get', store.get(key, options)),
      list: (prefix, options) => timed('list', store.list(prefix, options)),
      commit: (guards, writes, options) => timed('commit', store.commit(guards, writes, options)),
      lease: (ttlSeconds) => timed('lease', store.lease(ttlSeconds)),
      watch: (prefix, after, signal) => store.watch(prefix, after, signal),
      onConnection: (listener) => store.onConnection(listener),
      close: () => store.close(),
    }),
    countTenants: (count) => {
      const help = "Tenants, the platform's own included";
      const collect = function (this: Gauge): void {
        this.set(count());
      };
      new Gauge({ name: 'tenet_tenants', help, registers: [register], collect });
    },
    countPackets: (read) => {
      const help = 'Packets of a tenant that a node let pass or refused since its agent began';
      const collect = async function (this: Counter): Promise<void> {
        const traffic = (await read().catch(absentIfUnavailable)) ?? [];
        this.reset();
        for (const { tenant, node, allowed, denied } of traffic) {
          this.inc({ tenant, node, verdict: 'allowed' }, allowed);
          this.inc({ tenant, node, verdict: 'denied' }, denied);
        }
      };
      const labelNames = ['tenant', 'node', 'verdict'];
      new Counter({ name: 'tenet_tenant_packets_total', help, labelNames, registers: [register], collect });
    },
    setStoreState: (state) => {
      for (const each of [file, used, quota]) each.reset();
      for (const { endpoint, fileBytes, usedBytes, quotaBytes } of state?.members ?? []) {
        file.set({ endpoint }, fileBytes);
        used.set({ endpoint }, usedBytes);
        if (quotaBytes !== undefined) quota.set({ endpoint }, quotaBytes);
      }
    },
    countProblems: (read) => {
      const help = 'What is wrong now and does not mend itself; GET /v1/cluster/problems names each';
      const collect = async function (this: Gauge): Promise<void> {
        const problems = await read();
        this.reset();
        for (const { kind, node = '', controller = '' } of problems) this.inc({ kind, node, controller });
      };
      const labelNames = ['kind', 'node', 'controller'];
      new Gauge({ name: 'tenet_problems', help, labelNames, registers: [register], collect });
    },
    tellLastBackup: (read) => {
      const help = 'When the cluster was last backed up by REST or tenetctl, in seconds since 1970';
      const collect = async function (this: Gauge): Promise<void> {
        const last = await read().catch(absentIfUnavailable);
        this.remove({});
        if (last !== undefined) this.set(Date.parse(last.at) / 1000);
      };
      new Gauge({ name: 'tenet_last_backup_timestamp_seconds', help, registers: [register], collect });
    },
  };
}

/** @throws the error, unless the store is merely away */
function absentIfUnavailable(error: unknown): undefined {
  if (error instanceof Unavailable) return undefined;
  throw error;
}
