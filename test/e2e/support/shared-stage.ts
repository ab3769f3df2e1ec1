/**
 * A stage that the test files of one process use one after the other: raised for the first that borrows it, looked over when each gives it
 * back. A file that leaves anything behind fails, and the next one gets a new stage. Ends with the process.
 */
import { writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import { withNetns } from '../../../dataplane/system/netns.ts';
import { listNamespaces, removeNamespaces } from '../../lab/fabric.ts';
import { waitFor } from '../../lab/probe/deadline.ts';
import { netnsPath } from '../../lab/probe/netns-path.ts';
import { signalProcess } from '../../lab/process.ts';
import { listLabs, readLab } from '../../lab/state.ts';
import { forgetFlows } from '../../lab/tracked-flows.ts';
import { etcdDump, untilListed } from './cluster.ts';
import { sharedIdPrefix } from './end-shared-stages.ts';
import { inside, tenetState } from './node-state.ts';
import { buildScenery, furnish, type Scenery, type Stage } from './stage.ts';

interface Standing {
  readonly scenery: Scenery;
  /** all that a file must leave as it found it, a line each */
  readonly found: readonly string[];
}

let standing: Standing | undefined;

/** As `raiseStage`, for a file that leaves containers, tenants, agents and nodes as they are. `close` gives it back. */
export async function borrowStage(): Promise<Stage> {
  const borrowed = standing ?? (await raise());
  standing = undefined;
  const { scenery, found } = borrowed;
  const stage = await furnish(scenery).catch(async (error: unknown) => {
    await scenery.lab.close();
    throw error;
  });
  const close = async () => {
    stage.ears.close();
    scenery.lab.release();
    try {
      const isStranger = (netns: string) => /-stranger\d+$/.test(netns);
      await removeNamespaces(listNamespaces(scenery.lab.id).filter(isStranger));
      forgetTraffic(scenery);
      const look = async () => {
        expect(await lasting(scenery)).toEqual(found);
        return true;
      };
      await waitFor(look, { what: 'the file leaves the stage as it found it', everyMs: 500 });
    } catch (error) {
      await scenery.lab.close();
      throw error;
    }
    standing = borrowed;
  };
  return { ...stage, close };
}

/** Of no lab there is: not even of one whose worker has ended, and whose number another has now. */
function freeId(): string {
  const worker = Number(process.env.VITEST_POOL_ID ?? 0) % 36;
  const taken = listLabs();
  const ids = Array.from(
    { length: 36 },
    (_, index) => `${sharedIdPrefix(process.ppid)}${worker.toString(36)}${index.toString(36)}`,
  );
  const free = ids.find((id) => !taken.includes(id));
  if (free === undefined) throw new Error(`all of ${ids.length} shared labs of worker ${worker} are there still`);
  return free;
}

async function raise(): Promise<Standing> {
  const id = freeId();
  const scenery = await buildScenery({ id });
  try {
    process.once('SIGTERM', () => endWithProcess(id));
    const { ears } = await furnish(scenery);
    await untilSettled(scenery);
    ears.close();
    scenery.lab.release();
    return { scenery, found: await lasting(scenery) };
  } catch (error) {
    await scenery.lab.close();
    throw error;
  }
}

/** What is left has no process any more, and goes with the run. */
function endWithProcess(id: string): never {
  for (const ref of readLab(id)?.processes ?? []) signalProcess(ref, 'SIGKILL');
  process.exit();
}

/** Every node enforces all that there is: what comes after it in the store. */
async function untilSettled({ lab, cast }: Scenery): Promise<void> {
  const { red1, red1b, red2, blue1, blue2 } = cast;
  await untilListed(lab, 'red', [red1, red1b, red2]);
  await untilListed(lab, 'blue', [blue1, blue2]);
  const path = '/v1/tenants/red/namespaces/red/policies/last?wait=enforced';
  const put = await lab.rest('PUT', path, { podSelector: { matchLabels: { app: 'none' } } });
  expect(put.status, JSON.stringify(put.body)).toBe(201);
  const gone = await lab.rest('DELETE', path);
  expect(gone.status, JSON.stringify(gone.body)).toBeLessThan(300);
}

/** No file meets another's flows, or what kernels have learnt of paths by them. */
function forgetTraffic({ lab, node1, node2, gateway }: Scenery): void {
  for (const { netns } of [node1, node2, gateway]) forgetFlows(netns);
  for (const netns of listNamespaces(lab.id))
    withNetns(netnsPath(netns), () => writeFileSync('/proc/sys/net/ipv4/route/flush', '1'));
}

/** What others than Tenet can have changed on a node. Tables of iptables are there once it was asked for their rules. */
const ON_NODES = `nft list tables | grep -vE " ip6? (raw|mangle|nat|filter)$" || true
  ip -4 -o address show; ip -4 route show; ip -4 rule show
  iptables-save 2>/dev/null | grep -E "^-A" | grep -v TENET || true
  cd /proc/sys/net/ipv4; grep -H . ip_local_port_range conf/*/arp_ignore conf/*/forwarding`;
const AROUND = 'ip -o link show; ip -4 -o address show; ip -4 route show table all';
/** Of what was refused, and of flows that are open. */
const COUNTS = /refused|^element (flows|rations)_?/;
/** Not what agents say of themselves and of traffic all the time. */
const RECORDS = /^(tenants|claims|namespaces|policies|peerings|blocks|endpoints|cluster)/;

async function lasting({ lab, node1, node2, gateway }: Scenery): Promise<readonly string[]> {
  const ofNode = async (node: Scenery['node1']) => {
    const [tenet, others] = await Promise.all([tenetState(node), inside(node, ON_NODES)]);
    const lines = [...tenet.filter((line) => !COUNTS.test(line)), ...others.split('\n')];
    return lines.map((line) => `${node.name}: ${line}`);
  };
  const around = async (netns: string) =>
    (await inside({ netns }, AROUND)).split('\n').map((line) => `${netns}: ${line}`);
  const [records, ...rest] = await Promise.all([
    etcdDump(lab),
    ...[node1, node2, gateway].map(ofNode),
    around(lab.fabricNetns),
    around(lab.outside.netns),
  ]);
  return [
    ...[...records]
      .filter(([key]) => RECORDS.test(key))
      .map(([key, value]) => `${key}: ${JSON.stringify(value, withoutEmpty)}`),
    ...rest.flat(),
    ...listNamespaces(lab.id),
  ].sort();
}

/** What was set and is empty again, and what never was: the same. */
function withoutEmpty(_key: string, value: unknown): unknown {
  return Array.isArray(value) && value.length === 0 ? undefined : value;
}
