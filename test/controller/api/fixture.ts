/** Whole applications over a memory store, as many as a test wants over the same one, and the words tests use with them. */
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { buildApp } from '../../../controller/api/app.ts';
import { createMetrics } from '../../../controller/api/metrics.ts';
import type { ClusterOptions } from '../../../controller/model/cluster.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Endpoint, Node } from '../../../controller/model/records.ts';
import { readTraffic } from '../../../controller/operations/denials.ts';
import { knownProblems } from '../../../controller/operations/problems.ts';
import { Registry } from '../../../controller/operations/registry.ts';
import { readLastBackup } from '../../../controller/operations/store-facts.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import type { ConnectedStore, Store } from '../../../controller/store/store.ts';
import { parseIp, parseMac, parsePrefix } from '../../../dataplane/address.ts';
import { AnswerCheck } from './answers.ts';
import { Deadlines } from './deadlines.ts';

export const TOKEN = 'a-token-for-tests-only';
const AUTHORIZED = { authorization: `Bearer ${TOKEN}` };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** parsed, if there is one */
  readonly body: Body;
}

/** Whatever of these an answer has. */
export interface Body {
  readonly [field: string]: unknown;
  readonly code?: string;
  readonly name?: string;
  readonly vni?: number;
  readonly subnets?: string[];
  readonly revision?: number;
  readonly holder?: string;
  readonly continue?: string;
  readonly errors?: { readonly field: string; readonly message: string }[];
  readonly items?: Body[];
}

export interface TestApp {
  readonly registry: Registry;
  /** of what requests wait for */
  readonly deadlines: Deadlines;
  readonly app: Awaited<ReturnType<typeof buildApp>>;
  /** With the token, unless `headers` say otherwise. Anything but text is sent as JSON. */
  call(method: string, url: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>;
}

export interface TestAppOptions {
  readonly store?: ConnectedStore;
  readonly cluster?: ClusterOptions;
  readonly random?: () => number;
  /** false: the store is not there yet */
  readonly started?: boolean;
}

/** An application that ends with the test, and all of whose answers are as their routes declare them: the test fails otherwise. */
export async function startApp(options: TestAppOptions = {}): Promise<TestApp & { readonly store: Store }> {
  const log = pino({ level: 'silent' });
  const metrics = createMetrics();
  const store = metrics.watchStore(options.store ?? new MemoryStore());
  const deadlines = new Deadlines();
  const registry = new Registry({
    name: 'controller1',
    store,
    cluster: options.cluster ?? {},
    log,
    setDeadline: deadlines.set,
    ...(options.random && { random: options.random }),
  });
  metrics.countTenants(() => registry.claims.tenantCount);
  metrics.countPackets(() => readTraffic(registry));
  metrics.countProblems(() => knownProblems(registry));
  metrics.tellLastBackup(() => readLastBackup(store));
  const check = new AnswerCheck();
  const app = await buildApp({ registry, metrics: check.watching(metrics), token: TOKEN, version: '0.0.0', log });
  const started = registry.start();
  started.catch(() => undefined);
  if (options.started !== false) await started;
  onTestFinished(async () => {
    await registry.close();
    await app.close();
    check.verify();
  });
  return { store, registry, deadlines, app, call: (...args) => call(app, check, ...args) };
}

async function call(
  app: TestApp['app'],
  check: AnswerCheck,
  method: string,
  url: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const payload = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await app.inject({
    method: method as 'GET',
    url,
    headers: { ...AUTHORIZED, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(payload === undefined ? {} : { payload }),
  });
  const { statusCode: status, body: text } = answer;
  const contentType = String(answer.headers['content-type'] ?? '');
  check.judgeUnseen(String(answer.headers['x-request-id']), { method, url, status, contentType, body: text });
  check.verify();
  return {
    status,
    headers: answer.headers as Answer['headers'],
    body: /[/+]json\b/.test(contentType) ? (answer.json() as Body) : ({ text } as Body),
  };
}

/** Every key and value, to tell that nothing has changed. */
export async function dump(store: Store): Promise<Readonly<Record<string, string>>> {
  const { entries } = await store.list('');
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}

/** What an agent writes when a container starts. */
export async function putEndpoint(store: Store, endpoint: Partial<Endpoint> = {}): Promise<Endpoint> {
  const id = endpoint.id ?? '3f9c01ab77d2';
  const whole: Endpoint = {
    id,
    tenant: 'blue',
    namespace: 'blue',
    name: `pod-${id}`,
    node: 'node1',
    ips: [parseIp('10.128.4.17')],
    mac: parseMac('0a:58:0a:80:04:11'),
    labels: {},
    ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
    containerId: `container-${id}`,
    ifname: 'eth0',
    createdAt: '2026-11-23T12:00:00.000Z',
    ...endpoint,
  };
  const key = keys.endpoint(whole.tenant, whole.node, whole.id);
  await store.commit([], [{ kind: 'put', key, value: formatRecord(whole) }]);
  return whole;
}

export async function removeEndpoint(store: Store, { tenant, node, id }: Endpoint): Promise<void> {
  await store.commit([], [{ kind: 'delete', key: keys.endpoint(tenant, node, id) }]);
}

/** What an agent writes when it needs addresses of a tenant. @returns its key */
export async function putBlock(store: Store, tenant: string, block: string, node = 'node1'): Promise<string> {
  const key = keys.block(tenant, parsePrefix(block));
  await store.commit([], [{ kind: 'put', key, value: formatRecord({ node }) }]);
  return key;
}

/** What an agent writes when it starts. */
export async function putNode(store: Store, name: string, { live = true } = {}): Promise<void> {
  const node: Node = {
    name,
    underlay: parseIp('192.0.2.11'),
    underlayMac: parseMac('02:00:00:00:00:11'),
    roles: ['compute'],
    version: '0.1.0',
  };
  await store.commit([], [{ kind: 'put', key: keys.node(name), value: formatRecord(node) }]);
  const key = keys.liveNode(name);
  await store.commit([], [live ? { kind: 'put', key, value: formatRecord({}) } : { kind: 'delete', key }]);
}

/** Polls until it holds. @throws after a minute: what comes late on a busy machine has come */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
