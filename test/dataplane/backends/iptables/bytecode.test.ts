/** The programs, run by an interpreter that does as the kernel does. @see net/core/filter.c, net/netfilter/xt_bpf.c */
import { describe, expect, test } from 'vitest';
import { parsePrefix } from '../../../../dataplane/address.ts';
import {
  errorAboutPort,
  SOUND_OWN_PACKET,
  SOUND_PACKET,
  SOUND_POD_PACKET,
  shareOfDestinations,
  shareOfFlows,
  tooLargeFor,
  VXLAN_FROM_ITS_NODE,
} from '../../../../dataplane/backends/iptables/bytecode.ts';

const LINK_HEADER = 0xffe00000;

/** @returns does the program say yes? A load beyond the packet is a no. */
function matches(program: string, packet: Buffer, mac = '0a:58:0a:80:00:05'): boolean {
  const [, ...lines] = program.split(',');
  const code = lines.map((line) => line.split(' ').map(Number) as [number, number, number, number]);
  const header = Buffer.from(`ffffffffffff${mac.replaceAll(':', '')}0800`, 'hex');
  const load = (k: number, size: number): number | undefined => {
    const [from, at] = k >= LINK_HEADER ? [header, k - LINK_HEADER] : [packet, k];
    return at + size > from.length ? undefined : from.readUIntBE(at, size);
  };
  let a = 0;
  let x = 0;
  for (let at = 0; ; at++) {
    const [op, yes, no, k] = code[at] ?? [0x06, 0, 0, 0];
    const jump = (holds: boolean) => {
      at += holds ? yes : no;
    };
    if (op === 0x06) return k !== 0;
    if (op === 0x20 || op === 0x28 || op === 0x30) {
      const loaded = load(k, { 32: 4, 40: 2, 48: 1 }[op]);
      if (loaded === undefined) return false;
      a = loaded;
    } else if (op === 0x40 || op === 0x48 || op === 0x50) {
      const loaded = load(x + k, { 64: 4, 72: 2, 80: 1 }[op]);
      if (loaded === undefined) return false;
      a = loaded;
    } else if (op === 0xb1) {
      const loaded = load(k, 1);
      if (loaded === undefined) return false;
      x = 4 * (loaded & 0x0f);
    } else if (op === 0x54) a = (a & k) >>> 0;
    else if (op === 0x64) a = (a << k) >>> 0;
    else if (op === 0x74) a >>>= k;
    else if (op === 0x24) a = Math.imul(a, k) >>> 0;
    else if (op === 0xac) a = (a ^ x) >>> 0;
    else if (op === 0x0c) a = (a + x) >>> 0;
    else if (op === 0x07) x = a;
    else if (op === 0x80) a = packet.length;
    else if (op === 0x15) jump(a === k);
    else if (op === 0x1d) jump(a === x);
    else if (op === 0x35) jump(a >= k);
    else if (op === 0x45) jump((a & k) !== 0);
    else throw new Error(`no such instruction: ${op}`);
  }
}

interface Fields {
  readonly ttl?: number;
  readonly protocol?: number;
  readonly words?: number;
  readonly fragment?: number;
  readonly body?: Buffer;
}
const OWN = Buffer.from([10, 128, 0, 5]);
const OTHER = Buffer.from([10, 128, 0, 9]);
function ipv4({ ttl = 64, protocol = 17, words = 5, fragment = 0, body = Buffer.alloc(8) }: Fields): Buffer {
  const header = Buffer.alloc(words * 4);
  header[0] = 0x40 | words;
  header.writeUInt16BE(fragment, 6);
  header[8] = ttl;
  header[9] = protocol;
  OWN.copy(header, 12);
  OTHER.copy(header, 16);
  return Buffer.concat([header, body]);
}
/** An ICMP message with the packet it quotes. */
function icmp(type: number, quotedDestination: Buffer): Buffer {
  const quoted = Buffer.alloc(28);
  quoted[0] = 0x45;
  OTHER.copy(quoted, 12);
  quotedDestination.copy(quoted, 16);
  return ipv4({ protocol: 1, body: Buffer.concat([Buffer.from([type, 0, 0, 0, 0, 0, 0, 0]), quoted]) });
}

describe.each([
  ['from an overlay', SOUND_PACKET],
  ['from a pod that chose its MAC', SOUND_POD_PACKET],
  ['from a pod', SOUND_OWN_PACKET],
])('a packet %s', (_where, program) => {
  test.each<[string, Buffer, boolean]>([
    ['datagram', ipv4({}), true],
    ['with options', ipv4({ words: 6 }), false],
    ['with a header too short', ipv4({ words: 4 }), false],
    ['later fragment, whatever it holds', ipv4({ protocol: 1, fragment: 0x2001, body: Buffer.from([5]) }), true],
    ['echo request', icmp(8, OTHER), true],
    ['echo reply', icmp(0, OTHER), true],
    ['redirect', icmp(5, OWN), false],
    ...[3, 4, 11, 12].flatMap((type): [string, Buffer, boolean][] => [
      [`error ${type} about a packet it was sent`, icmp(type, OWN), true],
      [`error ${type} about a packet of others`, icmp(type, OTHER), false],
      [`error ${type} that quotes nothing`, icmp(type, OWN).subarray(0, 40), false],
    ]),
    ['cut short', ipv4({}).subarray(0, 8), false],
  ])('%s: passes or not', (_what, packet, passes) => {
    expect(matches(program, packet)).toBe(passes);
  });
});

test('is a pod’s only with a hop left', () => {
  for (const program of [SOUND_POD_PACKET, SOUND_OWN_PACKET]) {
    expect(matches(program, ipv4({ ttl: 2 }))).toBe(true);
    expect(matches(program, ipv4({ ttl: 1 }))).toBe(false);
  }
  expect(matches(SOUND_PACKET, ipv4({ ttl: 1 }))).toBe(true);
});

test('is a pod’s with the MAC of its address alone, unless it chose one', () => {
  for (const mac of ['0a:58:0a:80:00:09', '0a:59:0a:80:00:05', '02:66:00:00:00:01']) {
    expect(matches(SOUND_OWN_PACKET, ipv4({}), mac)).toBe(false);
    expect(matches(SOUND_POD_PACKET, ipv4({}), mac)).toBe(true);
  }
});

test('fits what the kernel takes', () => {
  for (const program of [SOUND_PACKET, SOUND_POD_PACKET, SOUND_OWN_PACKET]) {
    const [count, ...lines] = program.split(',');
    expect(Number(count)).toBe(lines.length);
    expect(lines.length).toBeLessThanOrEqual(64);
  }
});

describe('a VXLAN packet', () => {
  const vxlan = ({ type = 0x0800, mac = '0a580a800005', words = 5 } = {}) => {
    const inside = Buffer.from(`ffffffffffff${mac}${type.toString(16).padStart(4, '0')}`, 'hex');
    return ipv4({ words, body: Buffer.concat([Buffer.alloc(16), inside, Buffer.alloc(20)]) });
  };

  test('is from its node with the MAC that goes with the address it comes from', () => {
    expect(matches(VXLAN_FROM_ITS_NODE, vxlan())).toBe(true);
    expect(matches(VXLAN_FROM_ITS_NODE, vxlan({ mac: '0a580a800009' }))).toBe(false);
    expect(matches(VXLAN_FROM_ITS_NODE, vxlan({ mac: '02580a800005' }))).toBe(false);
  });

  test('carries IPv4, behind a header without options', () => {
    expect(matches(VXLAN_FROM_ITS_NODE, vxlan({ type: 0x8100 }))).toBe(false);
    expect(matches(VXLAN_FROM_ITS_NODE, vxlan({ type: 0x0806 }))).toBe(false);
    expect(matches(VXLAN_FROM_ITS_NODE, vxlan({ words: 6 }))).toBe(false);
    expect(matches(VXLAN_FROM_ITS_NODE, ipv4({}))).toBe(false);
  });
});

describe('an ICMP error', () => {
  const error = ({ type = 3, code = 4, protocol = 17, port = 4789, quotedWords = 5, words = 5, to = OTHER } = {}) => {
    const quoted = Buffer.alloc(quotedWords * 4);
    quoted[0] = 0x40 | quotedWords;
    quoted[9] = protocol;
    to.copy(quoted, 16);
    const ports = Buffer.from([0xc3, 0x50, port >> 8, port & 255, 0, 0, 0, 0]);
    return ipv4({
      protocol: 1,
      words,
      body: Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), quoted, ports]),
    });
  };

  test('is about a datagram to a port, with whatever options there are', () => {
    const program = errorAboutPort(4789);
    for (const words of [5, 15]) {
      for (const quotedWords of [5, 6, 15]) expect(matches(program, error({ words, quotedWords }))).toBe(true);
      expect(matches(program, error({ words, port: 4788 }))).toBe(false);
      expect(matches(program, error({ words, protocol: 6 }))).toBe(false);
      expect(matches(program, error({ words, type: 11 }))).toBe(false);
    }
  });

  test('says that a packet to a network was too large', () => {
    for (const [network, expected] of [
      ['10.128.0.8/29', true],
      ['10.128.0.9/32', true],
      ['0.0.0.0/0', true],
      ['10.128.0.0/29', false],
    ] as const)
      for (const words of [5, 15])
        expect(matches(tooLargeFor(parsePrefix(network)), error({ words, protocol: 1 })), network).toBe(expected);
    expect(matches(tooLargeFor(parsePrefix('0.0.0.0/0')), error({ code: 3 }))).toBe(false);
  });
});

describe('shares of flows, and of destinations', () => {
  const SHARES = 16;
  const flow = (sourcePort: number, port: number, protocol = 17) => {
    const body = Buffer.alloc(8);
    body.writeUInt16BE(sourcePort, 0);
    body.writeUInt16BE(port, 2);
    return ipv4({ protocol, body });
  };
  const sharesOf = (program: (share: number, shares: number) => string, packet: Buffer) =>
    Array.from({ length: SHARES }, (_, share) => share).filter((share) => matches(program(share, SHARES), packet));
  /** How many of the flows are in the share that has most. */
  const fullest = (program: (share: number, shares: number) => string, packets: readonly Buffer[]) => {
    const all = packets.map((packet) => {
      const found = sharesOf(program, packet);
      expect(found).toHaveLength(1);
      return found[0] ?? -1;
    });
    return Math.max(...Array.from({ length: SHARES }, (_, share) => all.filter((each) => each === share).length));
  };

  // As a client's are given: one by one, and every other one.
  test.each([1, 2])('flows from every port by %i are spread', (step) => {
    const packets = Array.from({ length: 800 }, (_, index) => flow(32_768 + index * step, 443));
    expect(fullest(shareOfFlows, packets)).toBeLessThan(100);
  });

  test('flows to every port are spread, and so are destinations', () => {
    const packets = Array.from({ length: 800 }, (_, index) => flow(5000, 1 + index));
    expect(fullest(shareOfFlows, packets)).toBeLessThan(100);
    expect(fullest(shareOfDestinations, packets)).toBeLessThan(100);
  });

  test.each([0, 1, 3, 4])('a packet with %i bytes behind its header is of one share', (length) => {
    const packet = ipv4({ protocol: 253, body: Buffer.alloc(length) });
    expect(sharesOf(shareOfFlows, packet)).toHaveLength(1);
  });

  test('one destination is one share, whatever the port a flow comes from; of ICMP whatever it says', () => {
    const packets = Array.from({ length: 100 }, (_, index) => flow(40_000 + index, 443));
    expect(fullest(shareOfDestinations, packets)).toBe(100);
    const echoes = Array.from({ length: 100 }, (_, index) => flow(0x0800, index * 77, 1));
    expect(fullest(shareOfDestinations, echoes)).toBe(100);
  });
});
