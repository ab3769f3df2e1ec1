/**
 * What end-to-end tests ask of a cluster again and again: tenants by REST, the endpoints it lists, etcd's contents, a
 * node's kernel state as
 * stock tools show it. Reads; the lab does the breaking.
 */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { run } from '../../lab/fabric.ts';
import type { Lab } from '../../lab/lab.ts';
import { waitFor } from '../../lab/probe/deadline.ts';
import { agentHosts, hostFiles } from '../../lab/topology.ts';
import { tenetState } from './node-state.ts';

export interface TenantView {
  readonly name: string;
  readonly vni: number;
  readonly subnets: readonly string[];
  readonly namespaces: readonly string[];
  readonly phase: 'active' | 'deleting';
}

export interface EndpointView {
  readonly id: string;
  readonly name: string;
  readonly node: string;
  readonly ips: readonly string[];
  readonly containerId: string;
}

/** Makes a tenant; expects that it is made. */
export async function makeTenant(lab: Lab, name: string, spec: object = {}): Promise<TenantView> {
  const { status, body } = await lab.rest<TenantView>('POST', '/v1/tenants', { name, ...spec });
  expect(status, JSON.stringify(body)).toBe(201);
  return body;
}

/** Every endpoint of a tenant, as REST lists them. */
export async function endpointsOf(lab: Lab, tenant: string): Promise<readonly EndpointView[]> {
  const { status, body } = await lab.rest<{ items: EndpointView[] }>(
    'GET',
    `/v1/tenants/${tenant}/endpoints?limit=1000`,
  );
  expect(status, JSON.stringify(body)).toBe(200);
  return body.items;
}

/** Resolves once REST lists exactly these containers of a tenant. */
export async function untilListed(
  lab: Lab,
  tenant: string,
  containers: readonly { readonly id: string }[],
): Promise<void> {
  const wanted = containers.map(({ id }) => id).sort();
  const look = async () => {
    const listed = (await endpointsOf(lab, tenant)).map(({ containerId }) => containerId).sort();
    if (listed.join() !== wanted.join()) throw new Error(`${listed.length} listed, ${wanted.length} run`);
    return true;
  };
  await waitFor(look, { what: `REST lists the ${wanted.length} containers of ${tenant}` });
}

/** Everything of Tenet's in etcd, keys without their prefix. */
export async function etcdDump(lab: Lab): Promise<ReadonlyMap<string, unknown>> {
  const records = await etcdRecords(lab);
  return new Map(records.map(({ key, value }) => [key, JSON.parse(value)]));
}

/** With the revision that each key was made in: which was there before which. */
export async function etcdRecords(
  lab: Lab,
): Promise<readonly { readonly key: string; readonly value: string; readonly createRevision: number }[]> {
  const { etcdUrl, manage } = lab.topology;
  const netns = manage[0]?.netns ?? '';
  const prefix = '/tenet/v1/';
  const text = await run([
    'ip',
    'netns',
    'exec',
    netns,
    'env',
    'ETCDCTL_API=3',
    'etcdctl',
    ...['--endpoints', etcdUrl, 'get', '--prefix', prefix, '-w', 'json'],
  ]);
  const { kvs = [] } = JSON.parse(text) as { kvs?: { key: string; value: string; create_revision: number }[] };
  const plain = (base64: string) => Buffer.from(base64, 'base64').toString('utf8');
  return kvs.map(({ key, value, create_revision: createRevision }) => ({
    key: plain(key).slice(prefix.length),
    value: plain(value),
    createRevision,
  }));
}

/** What in a dump contradicts itself: claims without their tenant, tenants without their claims, blocks and endpoints without either. */
export function contradictions(dump: ReadonlyMap<string, unknown>): readonly string[] {
  const faults: string[] = [];
  const wantedClaims = new Map<string, string>();
  const tenants = new Set<string>();
  for (const [key, value] of dump) {
    const name = /^tenants\/(.*)$/.exec(key)?.[1];
    if (name === undefined) continue;
    tenants.add(name);
    for (const claim of claimsOf(value as TenantView)) {
      if (wantedClaims.has(claim)) faults.push(`${claim} is of ${name} and of ${wantedClaims.get(claim)}`);
      wantedClaims.set(claim, name);
    }
  }
  for (const [claim, tenant] of wantedClaims) {
    const found = (dump.get(claim) as { tenant?: string } | undefined)?.tenant;
    if (found !== tenant) faults.push(`${claim} is ${found ?? 'no tenant'}'s, should be ${tenant}'s`);
  }
  for (const key of dump.keys()) {
    const [kind, owner = '', peer = ''] = key.split('/');
    if (kind === 'claims' && !wantedClaims.has(key)) faults.push(`${key} belongs to no tenant`);
    const needsTenant = kind === 'blocks' || kind === 'endpoints' || kind === 'namespaces';
    if (needsTenant && !tenants.has(owner)) faults.push(`${key} has no tenant`);
    if (kind === 'peerings' && !(tenants.has(owner) && tenants.has(peer))) faults.push(`${key} has no tenant`);
  }
  return faults;
}

/** @see the claims in the design's table of etcd keys: numbers are zero-padded there */
function claimsOf({ vni, subnets, namespaces }: TenantView): string[] {
  const sortable = (cidr: string) => {
    const [address = '', length] = cidr.split('/');
    const octets = address.split('.').map((octet) => octet.padStart(3, '0'));
    return `${octets.join('.')}-${length}`;
  };
  return [
    `claims/vni/${String(vni).padStart(8, '0')}`,
    ...subnets.map((subnet) => `claims/subnet/${sortable(subnet)}`),
    ...namespaces.map((namespace) => `claims/namespace/${namespace}`),
  ];
}

/** Ids of the endpoints that a node's journal still knows. */
export function journalled(lab: Lab, node: string): readonly string[] {
  const known = new Set<string>();
  for (const record of journal(lab, node)) {
    if (record.op === 'endpoint') known.add(record.local?.endpoint.id ?? '');
    if (record.op === 'gone') known.delete(record.id ?? '');
  }
  return [...known];
}

/**
 * Resolves once nothing is left of a tenant's containers on any node, nor in REST: no link, element, route, journal entry or record. Other
 * tenants must have no container while this is asked.
 */
export async function untilNothingLeft(lab: Lab, tenant: TenantView): Promise<void> {
  const look = async () => {
    const faults = (await endpointsOf(lab, tenant.name)).map(({ id }) => `endpoint ${id} in REST`);
    // A look at a whole kernel costs a dozen processes: not while the answer is known.
    for (const host of faults.length > 0 ? [] : agentHosts(lab.topology)) {
      const isPods = (line: string) => /tnp[0-9a-f]{12}/.test(line) || line.includes(`tnt${tenant.vni}`);
      const state = (await tenetState(host)).filter(isPods);
      const journal = journalled(lab, host.name).map((id) => `journal entry ${id}`);
      faults.push(...[...state, ...journal].map((what) => `${host.name}: ${what}`));
    }
    if (faults.length > 0) throw new Error(`${faults.length} things left: ${faults.slice(0, 5).join('; ')}`);
    return true;
  };
  await waitFor(look, { what: `nothing is left of ${tenant.name}`, everyMs: 200 });
}

/** Answers to one ICMP echo each. @returns those that stayed silent, as `from → to` */
export async function silentPairs(
  lab: Lab,
  pairs: readonly (readonly [from: { netns: string; ip: string }, to: { ip: string }])[],
): Promise<readonly string[]> {
  const silent: string[] = [];
  const queue = [...pairs];
  const worker = async () => {
    for (let pair = queue.shift(); pair !== undefined; pair = queue.shift()) {
      const [from, to] = pair;
      const { outcome } = await lab.prober(from).ping(to.ip);
      if (outcome !== 'answered') silent.push(`${from.ip} → ${to.ip}: ${outcome}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return silent;
}

/** Resolves once each reaches the other end: a node hears of another's new block soon after ADD, not with it. */
export async function untilReached(lab: Lab, pairs: Parameters<typeof silentPairs>[1]): Promise<void> {
  const look = async () => {
    const silent = await silentPairs(lab, pairs);
    if (silent.length > 0) throw new Error(silent.join('; '));
    return true;
  };
  await waitFor(look, { what: 'they reach each other' });
}

/** A tenant's blocks that a node's journal still knows. */
export function journalledBlocks(lab: Lab, node: string, tenant: string): readonly string[] {
  const blocks = new Set<string>();
  for (const record of journal(lab, node)) {
    if (record.op === 'block' && record.tenant === tenant) blocks.add(record.prefix ?? '');
    if (record.op === 'unblock') blocks.delete(record.prefix ?? '');
  }
  return [...blocks];
}

interface JournalLine {
  readonly op: string;
  readonly id?: string;
  readonly local?: { readonly endpoint: { readonly id: string } };
  readonly tenant?: string;
  readonly prefix?: string;
}

/** What it has remembered, oldest first; a line that is being written is left out. */
function journal(lab: Lab, node: string): readonly JournalLine[] {
  const { stateDir } = hostFiles(lab.topology, node);
  const lines = readFileSync(`${stateDir}/journal.jsonl`, 'utf8').split('\n').slice(1, -1);
  return lines.map((line) => JSON.parse(line) as JournalLine);
}
