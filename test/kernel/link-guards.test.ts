/** Programs at pod links' ingress, in a real kernel: which frames get past them, and what tc and others see of them. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { parseMac } from '../../dataplane/address.ts';
import { ADMITTED, admissionProgram } from '../../dataplane/backends/iptables/admission.ts';
import { LinkGuards } from '../../dataplane/backends/iptables/link-guards.ts';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import type { ElementItem } from '../../dataplane/state.ts';
import { type LoadedProgram, loadClassifier } from '../../dataplane/system/bpf.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { ETHERTYPE, ethernet, ipv4, PROTOCOL } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { addNamespace, enterOwnNamespace, ip, ipJson, type OtherNamespace, run } from './namespace.ts';
import { stateOf } from './node-state.ts';

const LINK = 'tnp0a1b2c3d4e5f';
const MAC = '0a:58:0a:81:00:05';
const HOST = '0a:58:a9:fe:01:01';
const guard = (address: string, mac = MAC, link = LINK): ElementItem => ({
  kind: 'element',
  collection: 'guard',
  fields: [link, mac, address],
});

let rtnetlink: Rtnetlink;
let admission: LoadedProgram;
let guards: LinkGuards;
let pod: OtherNamespace;

beforeAll(() => {
  enterOwnNamespace();
  rtnetlink = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
  admission = loadClassifier(admissionProgram());
});
afterAll(() => {
  admission.close();
  rtnetlink.close();
});
beforeEach(() => {
  guards = new LinkGuards(rtnetlink, admission);
  pod = addNamespace();
  ip('link', 'add', LINK, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', pod.name);
  ip('link', 'set', LINK, 'address', HOST, 'addrgenmode', 'none');
  ip('link', 'set', LINK, 'up');
  ip('-n', pod.name, 'link', 'set', 'eth0', 'addrgenmode', 'none');
  ip('-n', pod.name, 'link', 'set', 'eth0', 'up');
});
afterEach(() => {
  ip('link', 'del', LINK);
  pod.remove();
});

const filters = (place = 'ingress') => run('tc', ['filter', 'show', 'dev', LINK, place]);

/** Sends all from the pod. @returns names of those that this namespace's routing was given */
async function passed(frames: Readonly<Record<string, Buffer>>): Promise<readonly string[]> {
  const link = new RawLink(pod.name, 'eth0');
  const names: string[] = [];
  try {
    for (const [name, each] of Object.entries(frames)) {
      const before = counters();
      link.send(each);
      // Comes after it by the same queue, passes for sure, and is counted apart.
      link.send(DAMAGED);
      await waitFor(() => counters().damaged > before.damaged, { what: `what follows ${name}` });
      if (counters().received - before.received === 2) names.push(name);
    }
    return names;
  } finally {
    link.close();
  }
}

/** IP packets that came as far as routing. @see Documentation/networking/snmp_counter.rst, IpInReceives, IpInHdrErrors */
function counters(): { readonly received: number; readonly damaged: number } {
  const [names = '', values = ''] = run('cat', ['/proc/net/snmp'])
    .split('\n')
    .filter((line) => line.startsWith('Ip:'));
  const value = (name: string) => Number(values.split(' ')[names.split(' ').indexOf(name)]);
  return { received: value('InReceives'), damaged: value('InHdrErrors') };
}

const packet = (source: string, fragmentOffset = 0) =>
  ipv4({ source, destination: '10.129.0.99', protocol: PROTOCOL.udp, fragmentOffset }, Buffer.alloc(32));
const frame = (source: string, mac = MAC, fragmentOffset = 0) =>
  ethernet({ source: mac, destination: HOST, type: ETHERTYPE.ipv4 }, packet(source, fragmentOffset));
/** The pod's own, with a wrong checksum. */
const DAMAGED = Buffer.from(frame('10.129.0.5'));
DAMAGED.writeUInt16BE(DAMAGED.readUInt16BE(24) ^ 1, 24);

it('pass the pod’s own packets and fragments, and nothing else', async () => {
  const frames = {
    own: frame('10.129.0.5'),
    'own fragment': frame('10.129.0.5', MAC, 24),
    second: frame('10.129.0.6', '02:00:00:00:00:06'),
    'another’s address': frame('10.129.0.7'),
    'another’s fragment': frame('10.129.0.7', MAC, 24),
    'another MAC': frame('10.129.0.5', '02:00:00:00:00:06'),
    'the second’s address, the first’s MAC': frame('10.129.0.6'),
  };
  expect(await passed(frames)).toEqual(Object.keys(frames));
  guards.add(guard('10.129.0.5'));
  guards.add(guard('10.129.0.6', '02:00:00:00:00:06'));
  guards.write();
  expect(await passed(frames)).toEqual(['own', 'own fragment', 'second']);
  guards.remove(guard('10.129.0.6', '02:00:00:00:00:06'));
  guards.write();
  expect(await passed(frames)).toEqual(['own', 'own fragment']);
});

it('are found again as they were, and missed when another program took or changed them', () => {
  guards.reset(stateOf([guard('10.129.0.5')]));
  expect(guards.areIntact()).toBe(false);
  guards.write();
  expect(guards.areIntact()).toBe(false);
  guards.seal();
  expect(guards.areIntact()).toBe(true);
  expect(filters()).toContain('bpf');
  expect(filters('egress')).toContain('tenet-admitted');
  const later = new LinkGuards(rtnetlink, admission);
  later.reset(stateOf([guard('10.129.0.5')]));
  expect(later.areIntact()).toBe(true);
  later.reset(stateOf([guard('10.129.0.6')]));
  expect(later.areIntact()).toBe(false);
  for (const tamper of [
    ['filter', 'del', 'dev', LINK, 'ingress'],
    ['filter', 'del', 'dev', LINK, 'egress'],
    ['qdisc', 'del', 'dev', LINK, 'clsact'],
  ]) {
    run('tc', tamper);
    expect(guards.areIntact(), tamper.join(' ')).toBe(false);
    guards.reset(stateOf([guard('10.129.0.5')]));
    guards.write();
    guards.seal();
    expect(guards.areIntact()).toBe(true);
  }
});

function wayToPod(): void {
  ip('address', 'add', '10.129.0.1/32', 'dev', LINK);
  ip('route', 'add', '10.129.0.5/32', 'dev', LINK);
  ip('neighbour', 'add', '10.129.0.5', 'lladdr', MAC, 'dev', LINK, 'nud', 'permanent');
}

it('let in what rules have admitted, and nothing else', async () => {
  wayToPod();
  // As a rule of ours does it.
  const admit = `{ type filter hook postrouting priority 0; udp dport 7001 meta priority set ${ADMITTED}; }`;
  run('nft', ['-f', '-'], `table ip admits { chain post ${admit}; }`);
  const heard = new RawLink(pod.name, 'eth0');
  const socket = createSocket('udp4');
  const send = (port: number) => new Promise((sent) => socket.send('x', port, '10.129.0.5', sent));
  const ports = () => heard.heard().flatMap(({ fields }) => fields.ports?.destination ?? []);
  /** What of these arrives before one that passes for sure. */
  const arrive = async (...numbers: number[]) => {
    heard.forget();
    for (const port of [...numbers, 7001]) await send(port);
    await waitFor(() => ports().includes(7001), { what: 'what is admitted' });
    return ports();
  };
  try {
    expect(await arrive(7000)).toEqual([7000, 7001]);
    guards.add(guard('10.129.0.5'));
    guards.write();
    guards.seal();
    expect(await arrive(7000)).toEqual([7001]);
    guards.removeFrom([LINK]);
    expect(await arrive(7000)).toEqual([7000, 7001]);
  } finally {
    socket.close();
    heard.close();
    run('nft', ['delete', 'table', 'ip', 'admits']);
  }
});

it('come and go while the link is in use, and nothing that is sent to the pod is lost', async () => {
  wayToPod();
  ip('-n', pod.name, 'link', 'set', 'eth0', 'address', MAC);
  ip('-n', pod.name, 'address', 'add', '10.129.0.5/32', 'dev', 'eth0');
  ip('-n', pod.name, 'route', 'add', '10.129.0.1/32', 'dev', 'eth0');
  ip('-n', pod.name, 'neighbour', 'add', '10.129.0.1', 'lladdr', HOST, 'dev', 'eth0', 'nud', 'permanent');
  const neighbours = () => ip('neighbour', 'show', 'dev', LINK);
  const before = neighbours();
  // How many fit into one flood is the machine's business.
  for (let times = 0; times < 20; ) {
    const flood = spawn('ping', ['-q', '-f', '-c', '3000', '-i', '0.0005', '10.129.0.5'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    flood.stdout.on('data', (text) => (said += text));
    const ended = once(flood, 'close');
    for (; flood.exitCode === null; times++) {
      guards.reset(stateOf([guard('10.129.0.5')]));
      guards.write();
      if (!filters().includes('bpf')) throw new Error('not guarded');
      guards.removeFrom([LINK]);
      await turn();
    }
    await ended;
    expect(said).toContain('3000 packets transmitted, 3000 received');
  }
  expect(neighbours()).toBe(before);
});

it('go with the backend, and a link that is not there is no fault', () => {
  guards.add(guard('10.129.0.5'));
  guards.add(guard('10.129.0.9', parseMac('02:00:00:00:00:09'), 'tnpffffffffffff'));
  guards.write();
  guards.seal();
  expect(guards.areIntact()).toBe(true);
  guards.removeFrom([LINK, 'tnpffffffffffff']);
  expect(filters() + filters('egress')).toBe('');
  expect(ipJson<{ qdisc?: string }>('link', 'show', 'dev', LINK)[0]?.qdisc).not.toBe('clsact');
  guards.removeFrom([LINK]);
});
