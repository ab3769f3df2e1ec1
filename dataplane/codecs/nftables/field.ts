/**
 * What a rule can look at: fields of headers, packet metadata, connection tracking. Each says its type, how it is loaded, and
 * what the packet has to be. Data only: matching is match.ts. Pure.
 * @see RFC 791, 8200, 826, 792, 4443 for offsets; include/uapi/linux/netfilter/nf_tables.h for keys
 */
import type { FieldType } from './data-type.ts';
import type { CtLoad, Exthdr, Fib, MetaLoad, PayloadLoad } from './expression.ts';
import * as nft from './expression-uapi.ts';
import type { Requirement } from './rule-builder.ts';
import { NFPROTO_IPV4, NFPROTO_IPV6 } from './uapi.ts';

type WithoutRegister<T> = T extends unknown ? Omit<T, 'dreg'> : never;

export interface Field {
  readonly type: FieldType;
  readonly requires: readonly Requirement[];
  readonly source: WithoutRegister<PayloadLoad | MetaLoad | CtLoad | Fib | Exthdr>;
  /** bits that count, of the type's length */
  readonly mask?: Uint8Array;
  /** what a rule knows that has compared this field with a value */
  readonly teaches?: (value: number | string) => Requirement | undefined;
}

const IPPROTO_ICMP = 1;
const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;
const IPPROTO_ICMPV6 = 58;

const ETHER: Requirement = { layer: 'link', protocol: 'ether' };
const IP: Requirement = { layer: 'network', protocol: 'ip' };
const IP6: Requirement = { layer: 'network', protocol: 'ip6' };
const transport = (protocol: number): Requirement => ({ layer: 'transport', protocol });

function meta(type: FieldType, key: number): Field {
  return { type, requires: [], source: { kind: 'meta', key } };
}

function header(
  type: FieldType,
  requires: readonly Requirement[],
  base: number,
  offset: number,
  length: number,
): Field {
  return { type, requires, source: { kind: 'payload', base, offset, length } };
}

export const iifname = meta('ifname', nft.NFT_META_IIFNAME);
export const oifname = meta('ifname', nft.NFT_META_OIFNAME);
export const iifgroup = meta('devgroup', nft.NFT_META_IIFGROUP);
export const oifgroup = meta('devgroup', nft.NFT_META_OIFGROUP);
export const mark = meta('mark', nft.NFT_META_MARK);
/** `meta priority`: skb->priority, as `major << 16 | minor` */
export const priority = meta('classid', nft.NFT_META_PRIORITY);
/** NFPROTO_IPV4 or NFPROTO_IPV6 */
export const nfproto: Field = {
  ...meta('nf_proto', nft.NFT_META_NFPROTO),
  teaches: (value) => (value === NFPROTO_IPV4 ? IP : value === NFPROTO_IPV6 ? IP6 : undefined),
};
/** IPPROTO number of the packet, behind extension headers */
export const l4proto: Field = {
  ...meta('inet_proto', nft.NFT_META_L4PROTO),
  teaches: (value) => (typeof value === 'number' ? transport(value) : undefined),
};

export const etherSaddr = header('ether_addr', [ETHER], nft.NFT_PAYLOAD_LL_HEADER, 6, 6);
export const etherDaddr = header('ether_addr', [ETHER], nft.NFT_PAYLOAD_LL_HEADER, 0, 6);
export const ipSaddr = header('ipv4_addr', [IP], nft.NFT_PAYLOAD_NETWORK_HEADER, 12, 4);
export const ipDaddr = header('ipv4_addr', [IP], nft.NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
/** a plain number, which no data type of nft's is: encoded as one of its size */
export const ipTtl = header('inet_proto', [IP], nft.NFT_PAYLOAD_NETWORK_HEADER, 8, 1);
/** a plain number: more fragments (0x2000), and the offset in units of 8 bytes */
export const ipFragment: Field = {
  ...header('inet_service', [IP], nft.NFT_PAYLOAD_NETWORK_HEADER, 6, 2),
  mask: Uint8Array.of(0x3f, 0xff),
};
/** the traffic class byte with the ECN bits cleared: the code point << 2 */
export const ipDscp: Field = {
  ...header('dscp', [IP], nft.NFT_PAYLOAD_NETWORK_HEADER, 1, 1),
  mask: Uint8Array.of(0xfc),
};
export const ip6Saddr = header('ipv6_addr', [IP6], nft.NFT_PAYLOAD_NETWORK_HEADER, 8, 16);
export const ip6Daddr = header('ipv6_addr', [IP6], nft.NFT_PAYLOAD_NETWORK_HEADER, 24, 16);
/** `th`: whatever protocol has ports there */
export const thSport = header('inet_service', [], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2);
export const thDport = header('inet_service', [], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
/** Of the packet that an ICMP error quotes, behind 8 bytes of ICMP: its first byte, protocol and destination. @see RFC 792 */
export const quotedStart = header('inet_proto', [], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 8, 1);
export const quotedProtocol = header('inet_proto', [], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 8 + 9, 1);
export const quotedDaddr = header('ipv4_addr', [], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 8 + 16, 4);
/** Its port. @param words length of its header in 32-bit words */
export const quotedDport = (words: number): Field =>
  header('inet_service', [], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 8 + 4 * words + 2, 2);
/**
 * Of the frame in a VXLAN packet: its Ethernet type, a plain number, and the source of an IPv4 packet in it. Behind the headers of UDP,
 * VXLAN and Ethernet. @see RFC 7348 section 5
 */
export const vxlanInnerType = header('inet_service', [], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 8 + 8 + 12, 2);
export const vxlanInnerSaddr = header('ipv4_addr', [], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 8 + 8 + 14 + 12, 4);
export const tcpDport = header('inet_service', [transport(IPPROTO_TCP)], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
/** the flags by which TCP calls: SYN alone of FIN, SYN, RST and ACK */
export const TCP_CALL = 0x02;
/** a plain number, which no data type of nft's is: encoded as one of its size. The flags that {@link TCP_CALL} is one value of. */
export const tcpCallFlags: Field = {
  ...header('inet_proto', [transport(IPPROTO_TCP)], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1),
  mask: Uint8Array.of(0x17),
};
export const udpDport = header('inet_service', [transport(IPPROTO_UDP)], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
export const icmpType = header('icmp_type', [IP, transport(IPPROTO_ICMP)], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
export const icmpCode = header('inet_proto', [IP, transport(IPPROTO_ICMP)], nft.NFT_PAYLOAD_TRANSPORT_HEADER, 1, 1);
export const icmpv6Type = header(
  'icmpv6_type',
  [IP6, transport(IPPROTO_ICMPV6)],
  nft.NFT_PAYLOAD_TRANSPORT_HEADER,
  0,
  1,
);

/** Direction of a connection: of the packet that began it, or of the answers. */
export const CT_DIRECTIONS = { original: 0, reply: 1 } as const;
export type CtDirection = keyof typeof CT_DIRECTIONS;

/** `ct direction`, a number of {@link CT_DIRECTIONS} */
export const ctDirection: Field = {
  type: 'ct_dir',
  requires: [],
  source: { kind: 'ct', key: nft.NFT_CT_DIRECTION },
};

/**
 * `ct id & 0x1f000000`: one of so many equal shares of all connections, by a hash that no pod can foresee. Loads nothing without a
 * connection. @param shares a power of 2, up to 256
 */
export const ctShare = (shares: number): Field => ({
  type: 'mark',
  requires: [],
  source: { kind: 'ct', key: nft.NFT_CT_ID },
  mask: Uint8Array.of(shares - 1, 0, 0, 0),
});

function ct(type: FieldType, key: number, direction: CtDirection): Field {
  return { type, requires: [], source: { kind: 'ct', key, direction: CT_DIRECTIONS[direction] } };
}

/** `ct reply ip saddr`: who answers in this connection. Nothing is loaded, and the rule ends, if it is not an IPv4 one. */
export const ctIpSaddr = (direction: CtDirection): Field => ct('ipv4_addr', nft.NFT_CT_SRC_IP, direction);
export const ctIpDaddr = (direction: CtDirection): Field => ct('ipv4_addr', nft.NFT_CT_DST_IP, direction);
export const ctIp6Saddr = (direction: CtDirection): Field => ct('ipv6_addr', nft.NFT_CT_SRC_IP6, direction);
export const ctIp6Daddr = (direction: CtDirection): Field => ct('ipv6_addr', nft.NFT_CT_DST_IP6, direction);
/** `ct original proto-src`; nft lists it only after a match of `meta l4proto` */
export const ctProtoSrc = (direction: CtDirection): Field => ct('inet_service', nft.NFT_CT_PROTO_SRC, direction);
export const ctProtoDst = (direction: CtDirection): Field => ct('inet_service', nft.NFT_CT_PROTO_DST, direction);

/** RTN_*, the type of the route to an address, for {@link fibDaddrType} @see include/uapi/linux/rtnetlink.h */
export const FIB_TYPES = { unicast: 1, local: 2, broadcast: 3, multicast: 5, blackhole: 6 } as const;

/** `fib daddr type`: what this node would do with the destination, a number of {@link FIB_TYPES} */
export const fibDaddrType: Field = {
  type: 'fib_addrtype',
  requires: [],
  source: { kind: 'fib', result: nft.NFT_FIB_RESULT_ADDRTYPE, flags: nft.NFTA_FIB_F_DADDR },
};
/** `fib saddr . iif oif`: 1 if the way back to the source is the link it came in by, else 0 */
export const fibReversePath: Field = {
  type: 'iface_index',
  requires: [],
  source: {
    kind: 'fib',
    result: nft.NFT_FIB_RESULT_OIF,
    flags: nft.NFTA_FIB_F_SADDR | nft.NFTA_FIB_F_IIF | nft.NFTA_FIB_F_PRESENT,
  },
};

/** IPOPT_*, whole option types @see include/uapi/linux/ip.h */
export const IP_OPTIONS = { lsrr: 131, ssrr: 137, rr: 7, ra: 148 } as const;

/** `ip option lsrr`: 1 if the header has the option, else 0 */
export function ipOption(option: keyof typeof IP_OPTIONS): Field {
  const flags = nft.NFT_EXTHDR_F_PRESENT;
  const source = {
    kind: 'exthdr',
    op: nft.NFT_EXTHDR_OP_IPV4,
    type: IP_OPTIONS[option],
    offset: 0,
    length: 1,
    flags,
  } as const;
  return { type: 'boolean', requires: [IP], source };
}

/** `exthdr rt`: 1 if there is a routing header, else 0 */
export const ip6RoutingHeader: Field = {
  type: 'boolean',
  requires: [IP6],
  source: {
    kind: 'exthdr',
    op: nft.NFT_EXTHDR_OP_IPV6,
    type: 43,
    offset: 0,
    length: 1,
    flags: nft.NFT_EXTHDR_F_PRESENT,
  },
};
