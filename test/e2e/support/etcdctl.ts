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

/** etcd refuses writes from now on, as it does by itself once its database has used up its space; until `alarm disarm`. */
export async function raiseNoSpace(lab: Lab): Promise<void> {
  const members = await etcdctl(lab, 'member', 'list', '-w', 'fields');
  // A text: the id is beyond what a number can hold exactly.
  const memberID = /"ID" : (\d+)/.exec(members)?.[1];
  const body = JSON.stringify({ action: 'ACTIVATE', memberID, alarm: 'NOSPACE' });
  const url = `${lab.topology.etcdUrl}/v3/maintenance/alarm`;
  await inManage(lab, 'curl', '-sSf', '-X', 'POST', '-d', body, url);
}

function inManage(lab: Lab, ...command: readonly string[]): Promise<string> {
  return run(['ip', 'netns', 'exec', lab.topology.manage[0]?.netns ?? '', ...command]);
}
