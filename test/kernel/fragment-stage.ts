/**
 * A node and its pods for tests of fragments: pods of three tenants whose frames are written here, a socket of the node's that hears their
 * datagrams, and what the kernel holds of those that are not complete. To be used in a namespace of the test's own.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseIp, parsePrefix } from '../../dataplane/address.ts';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { FragmentGuards, type FragmentGuardsOptions } from '../../dataplane/fragments/fragment-guards.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { HOST_END_MAC } from '../../dataplane/ownership.ts';
import type { Item } from '../../dataplane/state.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { RULE_SET } from '../dataplane/rule-set.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { ETHERTYPE, ethernet, type Ipv4Fields, ipv4, PROTOCOL, udp } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { addNamespace, enterOwnNamespace, ip, type OtherNamespace, run } from './namespace.ts';
import { stateOf } from './node-state.ts';

export const NODE = '10.200.0.1';
const PORT = 7000;
/** As the kernel has it for a namespace that is new. */
export const BOUNDS = { bytes: 3 * 2 ** 20, seconds: 30 };
/** For how long this namespace waits for the rest: no program relies on that, but for the one that is told. */
export const WAIT_S = 1;
/** The node of the fragments is beside the pools. */
const RULES = { ...RULE_SET, pools: [parsePrefix('10.128.0.0/12')], segment: parsePrefix('10.200.0.0/24') };

/** Three pods of one tenant, two of others. */
const PODS = {
  red: { address: '10.128.0.2', group: 7 },
  'red too': { address: '10.128.0.3', group: 7 },
  'red in another block': { address: '10.128.0.34', group: 7 },
  blue: { address: '10.128.0.66', group: 8 },
  green: { address: '10.128.0.98', group: 9 },
} as const;
export type Name = keyof typeof PODS;
export const NAMES = Object.keys(PODS) as Name[];

interface Pod {
  readonly link: string;
  readonly address: string;
  readonly mac: string;
  readonly netns: OtherNamespace;
  readonly raw: RawLink;
}

export interface FragmentStage {
  readonly pods: ReadonlyMap<Name, Pod>;
  /** in force for all pods; to be replaced by {@link FragmentStage.guard} */
  readonly guards: FragmentGuards;
  guard(options?: FragmentGuardsOptions): FragmentGuards;
  pod(name: Name): Pod;
  /** Fragments refused. */
  refused(name: Name, of?: FragmentGuards): number | undefined;
  frame(name: Name, fields: Partial<Ipv4Fields>, body: Buffer): Buffer;
  /** A datagram in fragments. @param size bytes */
  datagram(name: Name, token: string, size?: number): Buffer[];
  /** Datagrams of which the rest never comes. */
  begin(name: Name, count: number): void;
  /** Ten datagrams of each, of the largest size, all of which come. @throws WaitTimeout */
  delivers(...names: readonly Name[]): Promise<void>;
  /** What the node's socket has heard begins with it, in the end. @throws WaitTimeout */
  hears(token: string): Promise<void>;
  items(): Item[];
  close(): void;
}

/** Once for each test file: this process goes into a namespace of its own. */
export function enterNode(): Rtnetlink {
  enterOwnNamespace();
  ip('address', 'add', `${NODE}/32`, 'dev', 'lo');
  keepFragmentsFor(WAIT_S);
  // Whatever tracks connections puts fragments together first.
  for (const command of [
    'add table inet t',
    'add chain inet t c { type filter hook prerouting priority 0; }',
    'add rule inet t c ct state new counter',
  ])
    run('nft', [command]);
  return new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
}

export async function raiseFragmentStage(
  rtnetlink: Rtnetlink,
  first: FragmentGuardsOptions = {},
): Promise<FragmentStage> {
  const heard: string[] = [];
  const node = createSocket('udp4');
  node.on('message', (message) => heard.push(message.subarray(0, 12).toString('latin1')));
  node.bind(PORT, NODE);
  await once(node, 'listening');
  const pods = new Map(NAMES.map((name, index) => [name, addPod(index, name)]));
  const pod = (name: Name): Pod => {
    const found = pods.get(name);
    if (found === undefined) throw new Error(`no pod ${name}`);
    return found;
  };
  const items = () => itemsOf(pods);
  const made: FragmentGuards[] = [];
  const guard = (options: FragmentGuardsOptions = {}) => {
    const guards = new FragmentGuards(rtnetlink, { bounds: BOUNDS, ...first, ...options });
    guards.reset(stateOf(items()));
    made.push(guards);
    return guards;
  };
  let guards = guard();
  const frame = (name: Name, fields: Partial<Ipv4Fields>, body: Buffer): Buffer => {
    const { address, mac } = pod(name);
    const packet = ipv4({ source: address, destination: NODE, protocol: PROTOCOL.udp, ...fields }, body);
    return ethernet({ source: mac, destination: HOST_END_MAC, type: ETHERTYPE.ipv4 }, packet);
  };
  const datagram = (name: Name, token: string, size = 60_000): Buffer[] => {
    const between = { source: PODS[name].address, destination: NODE };
    const whole = udp({ ...between, sourcePort: 4242, destinationPort: PORT }, Buffer.from(token.padEnd(size, '.')));
    const id = newId();
    return Array.from({ length: Math.ceil(whole.length / STEP) }, (_, index) => {
      const fragmentOffset = index * STEP;
      const moreFragments = fragmentOffset + STEP < whole.length;
      return frame(name, { id, fragmentOffset, moreFragments }, whole.subarray(fragmentOffset, fragmentOffset + STEP));
    });
  };
  const hears = async (token: string) => {
    await waitFor(() => heard.some((text) => text.startsWith(token)), { what: `datagram ${token} arrives` });
  };
  return {
    pods,
    get guards() {
      return guards;
    },
    guard: (options) => {
      guards = guard(options);
      return guards;
    },
    pod,
    refused: (name, of = guards) => of.refused().get(pod(name).link),
    frame,
    datagram,
    begin: (name, count) => {
      for (let sent = 0; sent < count; sent++)
        pod(name).raw.send(frame(name, { id: newId(), moreFragments: true }, Buffer.alloc(STEP)));
    },
    delivers: async (...names) => {
      for (const name of names)
        for (let count = 0; count < 10; count++) {
          const token = `token ${String(++tokens).padStart(6, '0')}`;
          for (const each of datagram(name, token)) pod(name).raw.send(each);
          await hears(token);
        }
    },
    hears,
    items,
    close: () => {
      for (const each of made) each.close();
      for (const { link, raw, netns } of pods.values()) {
        raw.close();
        ip('link', 'del', link);
        netns.remove();
      }
      node.close();
    },
  };
}

let tokens = 0;
let ids = 10_000;
/** Of a fragment, in bytes. */
const STEP = 1_400;

function newId(): number {
  return ++ids % 65_536;
}

/** Of this namespace. */
export function keepFragmentsFor(seconds: number): void {
  writeFileSync('/proc/sys/net/ipv4/ipfrag_time', String(seconds));
}

/** Bytes that this namespace holds of datagrams that are not complete. */
export function held(): number {
  return Number(/^FRAG: inuse \d+ memory (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[1]);
}

function addPod(index: number, name: Name): Pod {
  const { address } = PODS[name];
  const [link, mac] = [`tnp00000000000${index}`, `0a:58:0a:80:00:0${index}`];
  const netns = addNamespace();
  ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.name);
  ip('link', 'set', link, 'address', HOST_END_MAC, 'addrgenmode', 'none');
  ip('link', 'set', link, 'up');
  ip('-n', netns.name, 'link', 'set', 'eth0', 'address', mac, 'addrgenmode', 'none', 'up');
  ip('route', 'add', `${address}/32`, 'dev', link);
  return { link, address, mac, netns, raw: new RawLink(netns.name) };
}

function itemsOf(pods: ReadonlyMap<Name, Pod>): Item[] {
  const blocks = Object.values(PODS).map(({ address, group }): Item => {
    const base = parseIp(address.replace(/\d+$/, (last) => String(Number(last) & ~31)));
    return { kind: 'element', collection: 'block', fields: [base], value: group };
  });
  const sources = [...pods.values()].map(
    ({ link, mac, address }): Item => ({ kind: 'element', collection: 'guard', fields: [link, mac, address] }),
  );
  return [RULES, ...blocks, ...sources];
}
