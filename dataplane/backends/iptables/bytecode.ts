/**
 * Classic BPF for what iptables has no match for: a few instructions over one packet, as `-m bpf --bytecode` takes them. Pure.
 * @see net/netfilter/xt_bpf.c: offset 0 is the IP header
 */
import { type IpPrefix, ipToNumber, prefixBase, prefixLength } from '../../address.ts';
import { SHARES_ADDRESS } from '../common.ts';
import {
  ADD_X,
  AND,
  assemble,
  COPY_TO_X,
  HEADER_LENGTH_TO_X,
  IF_ANY_BIT,
  IF_AT_LEAST,
  IF_EQUAL,
  IF_EQUAL_X,
  type Instruction,
  LOAD_BYTE,
  LOAD_BYTE_AT_X,
  LOAD_HALF,
  LOAD_HALF_AT_X,
  LOAD_LENGTH,
  LOAD_WORD,
  LOAD_WORD_AT_X,
  MULTIPLY,
  RETURN,
  SHIFT_LEFT,
  SHIFT_RIGHT,
  XOR_X,
} from './classic-bpf.ts';

/** SKF_LL_OFF as the u32 that an instruction holds: offsets from the link-layer header. */
const LINK_HEADER = 0xffe00000;
const SOURCE_MAC = LINK_HEADER + 6;

/** Where things are in an IPv4 packet without options, and in the packet that an ICMP error quotes. @see RFC 791, RFC 792 */
const TTL = 8;
const FRAGMENT = 6;
const PROTOCOL = 9;
const SOURCE = 12;
const DESTINATION = 16;
/** of TCP, UDP and SCTP; of an ICMP query its type and checksum, which its identifier is part of */
const PORTS = 20;
const DESTINATION_PORT = 22;
const ICMP_TYPE = 20;
const QUOTED_DESTINATION = 20 + 8 + 16;
const FRAGMENT_OFFSET_MASK = 0x1fff;
const IPPROTO_ICMP = 1;
const IPPROTO_UDP = 17;
const ICMP_REDIRECT = 5;
const ICMP_DEST_UNREACH = 3;
/** type and code */
const FRAGMENTATION_NEEDED = 0x0304;
/** The quoted packet, and its destination, behind the header of the ICMP error's own. */
const QUOTED = 8;
const QUOTED_PROTOCOL = QUOTED + 9;
/** destination unreachable, source quench, time exceeded, parameter problem */
const ICMP_ERRORS = [3, 4, 11, 12] as const;

/** No options; no forged error: one is about a packet that its sender itself received. A redirect never is. */
const SOUND: readonly Instruction[] = [
  { code: LOAD_BYTE, k: 0 },
  { code: AND, k: 0x0f },
  { code: IF_EQUAL, k: 5, yes: 'next', no: 'bad' },
  { code: LOAD_HALF, k: FRAGMENT },
  { code: IF_ANY_BIT, k: FRAGMENT_OFFSET_MASK, yes: 'good', no: 'next' },
  { code: LOAD_BYTE, k: PROTOCOL },
  { code: IF_EQUAL, k: IPPROTO_ICMP, yes: 'icmp', no: 'good' },
  { at: 'icmp', code: LOAD_BYTE, k: ICMP_TYPE },
  { code: IF_EQUAL, k: ICMP_REDIRECT, yes: 'bad', no: 'next' },
  ...ICMP_ERRORS.map((type, index): Instruction => {
    const isLast = index === ICMP_ERRORS.length - 1;
    return { code: IF_EQUAL, k: type, yes: 'error', no: isLast ? 'good' : 'next' };
  }),
  { at: 'error', code: LOAD_WORD, k: SOURCE },
  { code: COPY_TO_X },
  { code: LOAD_WORD, k: QUOTED_DESTINATION },
  { code: IF_EQUAL_X, yes: 'good', no: 'bad' },
  { at: 'good', code: RETURN, k: 0xffff },
  { at: 'bad', code: RETURN, k: 0 },
];

/** Has it a hop left? Else its node would tell whether it knows a way. */
const ALIVE: readonly Instruction[] = [
  { code: LOAD_BYTE, k: TTL },
  { code: IF_AT_LEAST, k: 2, yes: 'next', no: 'bad' },
];

/** In a VXLAN packet whose outer header has no options: the Ethernet header inside. @see RFC 7348 section 5 */
const INNER = 20 + 8 + 8;
const INNER_SOURCE_MAC = INNER + 6;
const INNER_TYPE = INNER + 12;
const ETH_P_IP = 0x0800;

/** Does it carry IPv4, from the MAC that overlay links of the node have that sends it: 0a:58 and its address? */
const FROM_ITS_NODE: readonly Instruction[] = [
  { code: LOAD_BYTE, k: 0 },
  { code: IF_EQUAL, k: 0x45, yes: 'next', no: 'bad' },
  { code: LOAD_HALF, k: INNER_TYPE },
  { code: IF_EQUAL, k: ETH_P_IP, yes: 'next', no: 'bad' },
  { code: LOAD_HALF, k: INNER_SOURCE_MAC },
  { code: IF_EQUAL, k: 0x0a58, yes: 'next', no: 'bad' },
  { code: LOAD_WORD, k: SOURCE },
  { code: COPY_TO_X },
  { code: LOAD_WORD, k: INNER_SOURCE_MAC + 2 },
  { code: IF_EQUAL_X, yes: 'good', no: 'bad' },
  { at: 'good', code: RETURN, k: 0xffff },
  { at: 'bad', code: RETURN, k: 0 },
];

/** Is the MAC the one that a container has by its address, 0a:58 and the address? */
const OWN_MAC: readonly Instruction[] = [
  { code: LOAD_HALF, k: SOURCE_MAC },
  { code: IF_EQUAL, k: 0x0a58, yes: 'next', no: 'bad' },
  { code: LOAD_WORD, k: SOURCE },
  { code: COPY_TO_X },
  { code: LOAD_WORD, k: SOURCE_MAC + 2 },
  { code: IF_EQUAL_X, yes: 'next', no: 'bad' },
];

/** Is it of a protocol that cannot share the node's address? */
const PORTLESS: readonly Instruction[] = [
  { code: LOAD_BYTE, k: PROTOCOL },
  ...Object.values(SHARES_ADDRESS).map(
    (protocol): Instruction => ({ code: IF_EQUAL, k: protocol, yes: 'no', no: 'next' }),
  ),
  { code: RETURN, k: 0xffff },
  { at: 'no', code: RETURN, k: 0 },
];

/** Of a VXLAN packet: whose MAC is inside can be relied upon then. */
export const VXLAN_FROM_ITS_NODE = asText(FROM_ITS_NODE);
/** Of a packet that beyond the cluster would be anyone's on the node. */
export const PORTLESS_PACKET = asText(PORTLESS);
/** Of a packet from an overlay. */
export const SOUND_PACKET = asText(SOUND);
/** Of a packet from a pod that chose its own MAC. */
export const SOUND_POD_PACKET = asText([...ALIVE, ...SOUND]);
/** Of a packet from any other pod. */
export const SOUND_OWN_PACKET = asText([...ALIVE, ...OWN_MAC, ...SOUND]);

/** Of an ICMP error: about a datagram to this port, whatever the length of its header. */
export function errorAboutPort(port: number): string {
  return asText([
    { code: HEADER_LENGTH_TO_X, k: 0 },
    { code: LOAD_BYTE_AT_X, k: 0 },
    { code: IF_EQUAL, k: ICMP_DEST_UNREACH, yes: 'next', no: 'bad' },
    { code: LOAD_BYTE_AT_X, k: QUOTED_PROTOCOL },
    { code: IF_EQUAL, k: IPPROTO_UDP, yes: 'next', no: 'bad' },
    { code: LOAD_BYTE_AT_X, k: QUOTED },
    { code: AND, k: 0x0f },
    { code: SHIFT_LEFT, k: 2 },
    { code: ADD_X },
    { code: COPY_TO_X },
    { code: LOAD_HALF_AT_X, k: QUOTED + 2 },
    { code: IF_EQUAL, k: port, yes: 'good', no: 'bad' },
    { at: 'good', code: RETURN, k: 0xffff },
    { at: 'bad', code: RETURN, k: 0 },
  ]);
}

/** Of an ICMP error: a packet to this network was too large. @param network of IPv4 */
export function tooLargeFor(network: IpPrefix): string {
  const mask = Number((0xffffffffn << BigInt(32 - prefixLength(network))) & 0xffffffffn);
  return asText([
    { code: HEADER_LENGTH_TO_X, k: 0 },
    { code: LOAD_HALF_AT_X, k: 0 },
    { code: IF_EQUAL, k: FRAGMENTATION_NEEDED, yes: 'next', no: 'bad' },
    { code: LOAD_WORD_AT_X, k: QUOTED + 16 },
    { code: AND, k: mask },
    { code: IF_EQUAL, k: Number(ipToNumber(prefixBase(network))), yes: 'good', no: 'bad' },
    { at: 'good', code: RETURN, k: 0xffff },
    { at: 'bad', code: RETURN, k: 0 },
  ]);
}

/** 2^32 divided by the golden ratio: spreads numbers that are close. @see Knuth, The Art of Computer Programming, 6.4 */
const SPREAD = 0x9e3779b1;

/** A is a hash: is it of this share? @param shares a power of 2 */
function isOfShare(share: number, shares: number): Instruction[] {
  return [
    { code: MULTIPLY, k: SPREAD },
    { code: SHIFT_RIGHT, k: 32 - Math.log2(shares) },
    { code: IF_EQUAL, k: share, yes: 'good', no: 'bad' },
    { at: 'good', code: RETURN, k: 0xffff },
    { at: 'bad', code: RETURN, k: 0 },
  ];
}

/** Of a packet without options: one of so many equal shares of all flows of its sender. */
export function shareOfFlows(share: number, shares: number): string {
  return asText([
    { code: LOAD_WORD, k: DESTINATION },
    { code: MULTIPLY, k: SPREAD },
    { code: COPY_TO_X },
    // A protocol that nothing knows is a flow also without a byte of its own.
    { code: LOAD_LENGTH },
    { code: IF_AT_LEAST, k: PORTS + 4, yes: 'next', no: 'hash' },
    { code: LOAD_WORD, k: PORTS },
    { at: 'hash', code: XOR_X },
    ...isOfShare(share, shares),
  ]);
}

/** Likewise of all destinations: address and port, where there are ports. */
export function shareOfDestinations(share: number, shares: number): string {
  return asText([
    { code: LOAD_BYTE, k: PROTOCOL },
    { code: COPY_TO_X },
    { code: IF_EQUAL, k: IPPROTO_ICMP, yes: 'address', no: 'next' },
    { code: LOAD_HALF, k: DESTINATION_PORT },
    { code: COPY_TO_X },
    { at: 'address', code: LOAD_WORD, k: DESTINATION },
    { code: XOR_X },
    ...isOfShare(share, shares),
  ]);
}

/** As iptables takes it: the number of instructions, then `code jt jf k` of each. */
function asText(program: readonly Instruction[]): string {
  const lines = assemble(program).map(({ code, yes, no, k }) => `${code} ${yes} ${no} ${k}`);
  return [String(lines.length), ...lines].join(',');
}
