/**
 * Writes what other nodes' agents would have written: nodes, a block of each for every tenant, endpoints in them. A process of its own,
 * because it has to run in the namespace where etcd is. Arguments: etcd's URL, nodes, endpoints in each block; tenants as JSON on stdin.
 */
import { text } from 'node:stream/consumers';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { formatRecord } from '../../controller/model/kinds/kind.ts';
import type { Endpoint, Node } from '../../controller/model/records.ts';
import { openEtcdStore } from '../../controller/store/etcd-store.ts';
import { keys } from '../../controller/store/keys.ts';
import type { Write } from '../../controller/store/store.ts';
import {
  addressAt,
  type IpPrefix,
  parseIp,
  parseMac,
  parsePrefix,
  prefixBase,
  prefixSize,
} from '../../dataplane/address.ts';

export interface SeededTenant {
  readonly name: string;
  readonly subnet: string;
}

const BLOCK_LENGTH = 27;
const BLOCK_SIZE = 32;
const WRITES_AT_ONCE = 90;
/** Beyond those of the lab's own hosts. */
const FIRST_UNDERLAY = 101;

const [etcdUrl = '', nodeCount = '', perBlock = ''] = process.argv.slice(2);
const tenants = JSON.parse(await text(process.stdin)) as readonly SeededTenant[];
const nodes = Array.from({ length: Number(nodeCount) }, (_, index) => nodeOf(index));
const writes = [
  ...nodes.map(putNode),
  ...tenants.flatMap((tenant) => nodes.flatMap((node, at) => puts(tenant, node, at))),
];

const store = openEtcdStore({ endpoints: [etcdUrl] });
for (let at = 0; at < writes.length; at += WRITES_AT_ONCE) {
  const { committed } = await store.commit([], writes.slice(at, at + WRITES_AT_ONCE));
  if (!committed) throw new Error('etcd did not take the records');
}
await store.close();

function nodeOf(index: number): Node {
  const last = FIRST_UNDERLAY + index;
  const mac = parseMac(`06:7e:4e:7a:09:${last.toString(16).padStart(2, '0')}`);
  return {
    name: `remote${index + 1}`,
    underlay: parseIp(`192.168.9.${last}`),
    underlayMac: mac,
    roles: ['compute'],
    version: '0.1.0',
  };
}

function putNode(node: Node): Write {
  return { kind: 'put', key: keys.node(node.name), value: formatRecord(node) };
}

/** The node's block of the tenant, from the subnet's end, where the lab's own node is least likely to look; and who is in it. */
function puts(tenant: SeededTenant, node: Node, at: number): Write[] {
  const subnet = parsePrefix(tenant.subnet);
  const first = prefixSize(subnet) - BigInt((at + 1) * BLOCK_SIZE);
  const block: IpPrefix = parsePrefix(`${addressAt(subnet, first)}/${BLOCK_LENGTH}`);
  const endpoints = Array.from({ length: Number(perBlock) }, (_, index): Write => {
    const ip = addressAt(block, BigInt(index));
    const id = Buffer.from(ip).toString('hex').slice(-12).padStart(12, '0');
    const endpoint: Endpoint = {
      id,
      tenant: tenant.name,
      namespace: tenant.name,
      name: `pod-${ip}`,
      node: node.name,
      ips: [ip],
      mac: macOfAddress(prefixBase(block)),
      labels: { app: 'bench' },
      ports: [],
      containerId: `${id}0000`,
      ifname: 'eth0',
      createdAt: '2026-01-01T00:00:00Z',
    };
    return { kind: 'put', key: keys.endpoint(tenant.name, node.name, id), value: formatRecord(endpoint) };
  });
  const value = formatRecord({ node: node.name });
  return [{ kind: 'put', key: keys.block(tenant.name, block), value }, ...endpoints];
}
