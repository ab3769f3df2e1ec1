/**
 * What we write says the same as what iproute2 writes for the same thing (golden/iproute2.txt): message type, flags, family header,
 * attributes and their bytes. The order of attributes is free, and so is the NLA_F_NESTED flag, which ip leaves out.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parseIp, parseMac, parsePrefix } from '../../../../dataplane/address.ts';
import { encodeAddAddress, encodeDelAddress } from '../../../../dataplane/codecs/rtnetlink/ifaddr.ts';
import {
  encodeAddVeth,
  encodeAddVxlan,
  encodeDelLink,
  encodeDelLinkGroup,
} from '../../../../dataplane/codecs/rtnetlink/link.ts';
import {
  encodeDelFdb,
  encodeReplaceFdb,
  encodeReplaceNeighbour,
} from '../../../../dataplane/codecs/rtnetlink/neighbour.ts';
import { encodeReplaceRoute } from '../../../../dataplane/codecs/rtnetlink/route.ts';
import { encodeAddRule } from '../../../../dataplane/codecs/rtnetlink/rule.ts';
import { iterateAttributes } from '../../../../dataplane/netlink/attribute.ts';
import { ByteWriter } from '../../../../dataplane/netlink/bytes.ts';
import { parseMessages } from '../../../../dataplane/netlink/message.ts';

const golden = readGolden(new URL('../../../golden/iproute2.txt', import.meta.url));

function readGolden(file: URL): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const block of readFileSync(file, 'utf8').split('\n\n').slice(1)) {
    const [name = '', ...lines] = block.trim().split('\n');
    const hex = lines.filter((line) => !line.startsWith('$')).join('');
    found.set(name, Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')));
  }
  return found;
}

/** Which attributes hold attributes: by type, what comes before them and which of them again do. */
interface Shape {
  readonly header: number;
  readonly nested?: Readonly<Record<number, Shape>>;
}
const LINK: Shape = {
  header: 16,
  // IFLA_LINKINFO, IFLA_INFO_DATA, VETH_INFO_PEER
  nested: { 18: { header: 0, nested: { 2: { header: 0, nested: { 1: { header: 16 } } } } } },
};
/** In VXLAN's IFLA_INFO_DATA number 1 is the VNI. */
const VXLAN: Shape = { header: 16, nested: { 18: { header: 0, nested: { 2: { header: 0 } } } } };

function describe(payload: Uint8Array, shape: Shape): object {
  const attributes = [...iterateAttributes(payload, shape.header)].map(({ type, payload: inner }) => {
    const nested = shape.nested?.[type];
    return [type, nested ? describe(inner, nested) : trimmed(inner)] as const;
  });
  return { header: hex(payload.subarray(0, shape.header)), attributes: Object.fromEntries(attributes) };
}

/** ip ends some strings with a zero byte and others not. */
function trimmed(bytes: Uint8Array): string {
  const text = hex(bytes);
  return bytes.length > 4 && text.endsWith('00') ? text.slice(0, -2) : text;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function read(bytes: Uint8Array, shape: Shape): object {
  const messages = [...parseMessages(bytes)];
  expect(messages.length).toBe(1);
  return messages.map(({ type, flags, payload }) => ({ type, flags, ...describe(payload, shape) }))[0] ?? {};
}

const mac = parseMac('0a:58:c0:00:02:02');
const proto = { protocol: 126, table: 254 } as const;
const overlay = { port: 4789, underlayIndex: 3, group: 32334 } as const;
const RTA_TABLE = 15;
const IFA_FLAGS = 8;

interface Case {
  readonly name: string;
  readonly shape: Shape;
  readonly encode: (out: ByteWriter) => void;
  /** an attribute that we write and ip does not */
  readonly extra?: number;
}

const cases: readonly Case[] = [
  {
    name: 'veth',
    shape: LINK,
    encode: (out) =>
      encodeAddVeth(out, {
        name: 'tnp0123456789ab',
        mac: parseMac('0a:58:a9:fe:01:01'),
        mtu: 1450,
        group: 32335,
        peer: { name: 'eth0', mac: parseMac('0a:58:0a:81:00:05'), netnsFd: 4 },
      }),
  },
  {
    name: 'vxlan4',
    shape: VXLAN,
    encode: (out) => {
      const where = { local: parseIp('192.0.2.1'), mac: parseMac('0a:58:c0:00:02:01'), mtu: 1450 };
      encodeAddVxlan(out, { ...overlay, ...where, name: 'tnt42', vni: 42 });
    },
  },
  {
    name: 'vxlan6',
    shape: VXLAN,
    encode: (out) =>
      encodeAddVxlan(out, { ...overlay, name: 'tnt43', vni: 43, local: parseIp('2001:db8::1'), mac, mtu: 1430 }),
  },
  { name: 'address4', shape: { header: 8 }, encode: (out) => encodeAddAddress(out, 5, parseIp('10.129.0.1')) },
  { name: 'delAddress4', shape: { header: 8 }, encode: (out) => encodeDelAddress(out, 5, parseIp('10.129.0.1')) },
  route('route4', '10.129.4.0/24', { linkIndex: 5, gateway: '192.0.2.2', source: '10.129.0.1' }),
  route('route6', 'fd00:4::/64', { linkIndex: 5, gateway: '2001:db8::2', metric: 7 }),
  route('podRoute', '10.129.0.5/32', { linkIndex: 5 }),
  route('tableRoute', '10.129.0.6/32', { linkIndex: 5, table: 1000 }),
  route('blackhole', '10.128.0.0/14', { type: 'blackhole' }),
  route('unreachable', '10.132.0.0/14', { type: 'unreachable' }),
  route('prohibit', '10.136.0.0/14', { type: 'prohibit' }),
  neighbour('neighbour4', '192.0.2.2', 5, encodeReplaceNeighbour),
  neighbour('neighbourProtocol', '192.0.2.2', 3, (out, spec) =>
    encodeReplaceNeighbour(out, { ...spec, protocol: 126 }),
  ),
  neighbour('neighbour6', 'fe80::1', 5, encodeReplaceNeighbour),
  neighbour('fdb4', '192.0.2.2', 5, encodeReplaceFdb),
  neighbour('fdb6', '2001:db8::2', 6, encodeReplaceFdb),
  neighbour('delFdb4', '192.0.2.2', 5, encodeDelFdb),
  {
    name: 'rule',
    shape: { header: 12 },
    encode: (out) =>
      encodeAddRule(out, {
        family: 4,
        priority: 100,
        table: 1000,
        protocol: 126,
        source: parsePrefix('10.129.0.0/16'),
        destination: parsePrefix('10.130.0.0/16'),
        inputLink: 'tnt42',
        mark: { value: 0x10000, mask: 0xffff0000 },
      }),
  },
  { name: 'delLink', shape: LINK, encode: (out) => encodeDelLink(out, 6) },
  { name: 'delGroup', shape: LINK, encode: (out) => encodeDelLinkGroup(out, 32334) },
];

function route(
  name: string,
  destination: string,
  options: {
    readonly type?: 'blackhole' | 'unreachable' | 'prohibit';
    readonly linkIndex?: number;
    readonly gateway?: string;
    readonly source?: string;
    readonly metric?: number;
    readonly table?: number;
  },
): Case {
  const { gateway, source, type, ...rest } = options;
  return {
    name,
    shape: { header: 12 },
    ...(options.table === undefined ? { extra: RTA_TABLE } : {}),
    encode: (out) =>
      encodeReplaceRoute(out, {
        ...proto,
        ...rest,
        destination: parsePrefix(destination),
        type: type ?? 'unicast',
        ...(gateway === undefined ? {} : { gateway: parseIp(gateway), onlink: true }),
        ...(source === undefined ? {} : { source: parseIp(source) }),
      }),
  };
}

function neighbour(name: string, address: string, linkIndex: number, encode: typeof encodeReplaceFdb): Case {
  return { name, shape: { header: 12 }, encode: (out) => encode(out, { linkIndex, address: parseIp(address), mac }) };
}

it.each(cases)('$name is written as iproute2 writes it', ({ name, shape, encode, extra }) => {
  const out = new ByteWriter();
  encode(out);
  const ours = read(out.finish(), shape) as { attributes: Record<number, unknown> };
  if (extra !== undefined) delete ours.attributes[extra];
  const theirs = golden.get(name);
  expect(theirs).toBeDefined();
  expect(ours).toEqual(read(theirs ?? new Uint8Array(), shape));
});

it('an IPv6 address is added without duplicate address detection, which ip says in the header', () => {
  const out = new ByteWriter();
  encodeAddAddress(out, 5, parseIp('fd00::1'));
  const ours = read(out.finish(), { header: 8 }) as { header: string; attributes: Record<number, unknown> };
  const theirs = read(golden.get('address6') ?? new Uint8Array(), { header: 8 }) as typeof ours;
  expect(ours.attributes[IFA_FLAGS]).toBe('02000000');
  expect(theirs.header.slice(4, 6)).toBe('02');
  delete ours.attributes[IFA_FLAGS];
  expect(ours.attributes).toEqual(theirs.attributes);
});
