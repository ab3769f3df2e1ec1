/** The lab's etcd by its own tools: what an operator does to it, and what breaks it. */
import { rmSync } from 'node:fs';
import { run } from '../../lab/fabric.ts';
import type { Lab } from '../../lab/lab.ts';

/** Below it is everything of Tenet's. */
export const PREFIX = '/tenet/v1/';

export function etcdctl(lab: Lab, ...args: readonly string[]): Promise<string> {
  const { etcdUrl } = lab.topology;
  return inManage(lab, 'env', 'ETCDCTL_API=3', 'etcdctl', `--endpoints=${etcdUrl}`, ...args);
}

/** etcd is killed, and started anew from a snapshot that `etcdctl snapshot save` made. */
export async function restoreEtcd(lab: Lab, copy: string): Promise<void> {
  await lab.killEtcd();
  const data = `${lab.dir}/etcd`;
  rmSync(data, { recursive: true });
  const peer = 'http://127.0.0.1:2380';
  const member = ['--name=manage1', `--initial-cluster=manage1=${peer}`, `--initial-advertise-peer-urls=${peer}`];
  await etcdctl(lab, 'snapshot', 'restore', copy, `--data-dir=${data}`, ...member);
  await lab.startEtcd();
}

/** Writes by hand what is there already: it keeps its lease. */
export async function updateRecord(lab: Lab, key: string, value: string): Promise<void> {
  await etcdctl(lab, 'put', '--ignore-lease', PREFIX + key, value);
}

/** All at once, and none of them under a lease. @param value absent: they are deleted */
export async function writeRecords(lab: Lab, keys: readonly string[], value?: string): Promise<void> {
  const line = (key: string) =>
    value === undefined ? `del ${PREFIX}${key}` : `put ${PREFIX}${key} ${JSON.stringify(value)}`;
  const text = ['', ...keys.map(line), '', ''].join('\n');
  const command = `printf '%s\\n' "$0" | etcdctl --endpoints=${lab.topology.etcdUrl} txn`;
  await inManage(lab, 'env', 'ETCDCTL_API=3', 'sh', '-ec', command, text);
}

/** For a lab whose etcd is to be filled. */
const QUOTA = 24 * 1024 ** 2;
export const SMALL_ETCD = { quotaBytes: QUOTA, flags: [`--quota-backend-bytes=${QUOTA}`] };
const JUNK = '/junk/';

/** Writes what is none of Tenet's until etcd takes no more: its database has used up {@link SMALL_ETCD}. */
export async function fillEtcd(lab: Lab): Promise<void> {
  const put = `head -c 1000000 /dev/zero | tr '\\0' x | etcdctl --endpoints=${lab.topology.etcdUrl} put ${JUNK}$n`;
  const loop = `n=0; while said=$(${put} 2>&1); do n=$((n + 1)); [ $n -lt 50 ] || exit 1; done; echo "$said"`;
  const said = await inManage(lab, 'env', 'ETCDCTL_API=3', 'sh', '-c', loop);
  if (!said.includes('database space exceeded')) throw new Error(`etcd is not full: ${said}`);
}

/** What an operator does about that: less in it, its history dropped, its file made small, the alarm ended. */
export async function makeRoom(lab: Lab): Promise<void> {
  await etcdctl(lab, 'del', '--prefix', JUNK);
  const status = await etcdctl(lab, 'endpoint', 'status', '-w', 'fields');
  await etcdctl(lab, 'compact', '--physical', /"Revision" : (\d+)/.exec(status)?.[1] ?? '');
  await etcdctl(lab, 'defrag');
  await etcdctl(lab, 'alarm', 'disarm');
}

function inManage(lab: Lab, ...command: readonly string[]): Promise<string> {
  return run(['ip', 'netns', 'exec', lab.topology.manage[0]?.netns ?? '', ...command]);
}
