/**
 * A controller for one test: the real REST application on a memory store, listening on the machine's loopback, with the records
 * that agents would write put in by hand. No test of its own.
 */
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { buildApp } from '../../../controller/api/app.ts';
import { createMetrics } from '../../../controller/api/metrics.ts';
import { BIRTH } from '../../../controller/model/kinds/history.ts';
import { formatRecord } from '../../../controller/model/kinds/kind.ts';
import type { Denial, Endpoint, Enforced, Node } from '../../../controller/model/records.ts';
import { Registry } from '../../../controller/operations/registry.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { parseIp, parseMac, parsePrefix } from '../../../dataplane/address.ts';
import { AnswerCheck } from '../api/answers.ts';
import { Deadlines } from '../api/deadlines.ts';

const TOKEN = 'a-token-for-this-test-alone';
const NODE = 'node1';

/** Enough of an endpoint to tell it from others; it lives on node1, in the namespace of its tenant's name. */
export interface EndpointSeed {
  readonly id: string;
  readonly tenant: string;
  readonly name: string;
  readonly ip: string;
  readonly containerId: string;
}

export class TestController {
  readonly url: string;
  readonly token = TOKEN;
  readonly #store: MemoryStore;
  readonly #deadlines: Deadlines;
  readonly #end: () => Promise<void>;

  constructor(url: string, store: MemoryStore, deadlines: Deadlines, end: () => Promise<void>) {
    this.url = url;
    this.#store = store;
    this.#deadlines = deadlines;
    this.#end = end;
  }

  /** What REST itself answers. */
  async get(path: string): Promise<unknown> {
    const response = await fetch(`${this.url}${path}`, { headers: { authorization: `Bearer ${TOKEN}` } });
    return response.json();
  }

  async addEndpoint({ id, tenant, name, ip, containerId }: EndpointSeed): Promise<void> {
    const endpoint: Endpoint = {
      id,
      tenant,
      namespace: tenant,
      name,
      node: NODE,
      ips: [parseIp(ip)],
      mac: parseMac('02:00:00:00:00:01'),
      labels: { app: name },
      ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
      containerId,
      ifname: 'eth0',
      createdAt: '2026-11-24T11:00:00Z',
    };
    await this.#put(keys.endpoint(tenant, NODE, id), endpoint);
  }

  async removeEndpoint(tenant: string, id: string): Promise<void> {
    await this.#store.commit([], [{ kind: 'delete', key: keys.endpoint(tenant, NODE, id) }]);
  }

  async addNode(name: string, ip: string, { live }: { readonly live: boolean }): Promise<void> {
    const node: Node = {
      name,
      underlay: parseIp(ip),
      underlayMac: parseMac('02:00:00:00:01:01'),
      roles: ['compute'],
      version: '0.1.0',
    };
    await this.#put(keys.node(name), node);
    if (live) await this.#put(keys.liveNode(name), {});
  }

  /** What an agent writes when it needs addresses of a tenant. */
  async addBlock(tenant: string, block: string, node = NODE): Promise<void> {
    await this.#put(keys.block(tenant, parsePrefix(block)), { node });
  }

  /** What an agent says once it enforces all that ever was, and will be, of these tenants. */
  async acknowledge(node: string, ...tenants: readonly string[]): Promise<void> {
    const all = { tenant: 1e9, namespaces: 1e9, peerings: 1e9, policies: 1e9, endpoints: 1e9 };
    const record: Enforced = {
      at: '2026-11-24T11:59:30Z',
      history: BIRTH,
      tenants: Object.fromEntries(tenants.map((tenant) => [tenant, all])),
    };
    await this.#put(keys.enforced(node), record);
  }

  /** What an agent writes when its kernel refuses a tenant's overlay. */
  async tellProblem(node: string, tenant: string): Promise<void> {
    const text = 'RTM_NEWLINK link tnt42: EEXIST';
    const problem = { kind: 'kernel_refused', about: 'link tnt42', tenant, since: '2026-11-24T11:59:00Z', text };
    await this.#put(keys.problems(node), { problems: [problem] });
  }

  /** Plays the leader for a restore: ends the recovery that has begun, or lets its time run out. */
  async endRecovery(how: 'recovered' | 'late'): Promise<void> {
    const isWaiting = () => this.#deadlines.running.length > 0;
    while (!isWaiting()) await new Promise((resolve) => setTimeout(resolve, 5));
    if (how === 'late') this.#deadlines.elapse();
    else await this.#store.commit([], [{ kind: 'delete', key: keys.recovery }]);
  }

  /** What an agent writes of packets it refused: the latest, of so many as it has refused by then. */
  async refuse(tenant: string, node: string, sequence: number, denials: readonly Denial[]): Promise<void> {
    const at = '2026-11-24T11:59:30Z';
    await this.#put(keys.nodeDenials(tenant, node), { at, started: at, sequence, denials });
  }

  /** @throws when one of its answers was not as its route declares it */
  async close(): Promise<void> {
    await this.#end();
  }

  async #put(key: string, record: object): Promise<void> {
    await this.#store.commit([], [{ kind: 'put', key, value: formatRecord(record) }]);
  }
}

/** Its clock stands at the time tenetctl.ts tells tenetctl, so that ages are known. */
export async function startController(): Promise<TestController> {
  const log = pino({ level: 'silent' });
  const store = new MemoryStore();
  const deadlines = new Deadlines();
  const registry = new Registry({
    name: 'controller1',
    store,
    cluster: {},
    log,
    now: () => new Date('2026-11-24T11:59:00Z'),
    setDeadline: deadlines.set,
  });
  await registry.start();
  const check = new AnswerCheck();
  const app = await buildApp({
    registry,
    metrics: check.watching(createMetrics()),
    token: TOKEN,
    version: '0.1.0',
    log,
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  let closing: Promise<void> | undefined;
  const end = async () => {
    await app.close();
    await registry.close();
    await store.close();
    check.verify();
  };
  const { port } = app.server.address() as AddressInfo;
  return new TestController(`http://127.0.0.1:${port}`, store, deadlines, () => (closing ??= end()));
}
