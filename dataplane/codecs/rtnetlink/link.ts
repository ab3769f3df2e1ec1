/** Links: encoding of veth, VXLAN and settings, decoding of dumps and notifications. Pure. @see include/uapi/linux/if_link.h */
import {
  bytesToIp,
  bytesToMac,
  familyOf,
  type IpAddress,
  ipToBytes,
  type MacAddress,
  macToBytes,
} from '../../address.ts';
import { CodecError } from '../../errors.ts';
import { type Attribute, type AttributeWriter, parseAttributes } from '../../netlink/attribute.ts';
import { ByteReader, type ByteWriter } from '../../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, writeMessage } from '../../netlink/message.ts';
import * as u from './uapi.ts';

/** A link as the kernel shows it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mac: MacAddress | undefined;
  readonly mtu: number;
  readonly group: number;
  readonly up: boolean;
  readonly noArp: boolean;
  /** such as `veth`; undefined for hardware */
  readonly linkKind: string | undefined;
  readonly vxlan: VxlanSettings | undefined;
  /** its own, by sysctl's names: net.ipv4.conf.LINK; undefined where a message does not tell */
  readonly ipv4: Ipv4Settings | undefined;
  /** false: the kernel gives the link no IPv6 address by itself; undefined: it does not tell, or has no IPv6 */
  readonly ipv6LinkLocal: boolean | undefined;
}

export type Ipv4Settings = Readonly<Record<keyof typeof u.IPV4_DEVCONF, number>>;

export interface VxlanSettings {
  readonly vni: number;
  readonly local: IpAddress | undefined;
  readonly port: number;
  /** index of the link underneath; 0: any */
  readonly underlayIndex: number;
  readonly learning: boolean;
}

/** struct ifinfomsg */
function ifinfomsg(out: ByteWriter, index: number, flags: number, change: number): void {
  out.u8(u.AF_UNSPEC).u8(0).u16(0).s32(index).u32(flags).u32(change);
}

const IFINFOMSG = 16;
const NETCONFMSG = 4;

export interface VethSpec {
  readonly name: string;
  readonly mac: MacAddress;
  readonly mtu: number;
  readonly group: number;
  readonly peer: { readonly name: string; readonly mac: MacAddress; readonly netnsFd: number };
}

/** A veth, down, whose peer is born inside another namespace under its final name. One queue a side: half the time to make. */
export function encodeAddVeth(out: ByteWriter, spec: VethSpec): void {
  writeMessage(out, u.RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, (message) => {
    // The host's end answers no ARP from its first moment.
    ifinfomsg(out, 0, u.IFF_NOARP, u.IFF_NOARP);
    message
      .string(u.IFLA_IFNAME, spec.name)
      .bytes(u.IFLA_ADDRESS, macToBytes(spec.mac))
      .u32(u.IFLA_MTU, spec.mtu)
      .u32(u.IFLA_GROUP, spec.group)
      .u32(u.IFLA_NUM_TX_QUEUES, 1)
      .u32(u.IFLA_NUM_RX_QUEUES, 1)
      .nested(u.IFLA_LINKINFO, (info) =>
        info.string(u.IFLA_INFO_KIND, 'veth').nested(u.IFLA_INFO_DATA, (data) =>
          data.nested(u.VETH_INFO_PEER, (peer) => {
            ifinfomsg(out, 0, 0, 0);
            peer
              .string(u.IFLA_IFNAME, spec.peer.name)
              .bytes(u.IFLA_ADDRESS, macToBytes(spec.peer.mac))
              .u32(u.IFLA_MTU, spec.mtu)
              .u32(u.IFLA_NUM_TX_QUEUES, 1)
              .u32(u.IFLA_NUM_RX_QUEUES, 1)
              .u32(u.IFLA_NET_NS_FD, spec.peer.netnsFd);
          }),
        ),
      );
  });
}

export interface VxlanSpec {
  readonly name: string;
  readonly vni: number;
  readonly local: IpAddress;
  readonly port: number;
  readonly underlayIndex: number;
  readonly mac: MacAddress;
  readonly mtu: number;
  readonly group: number;
}

/** Outer TTL of our VXLAN packets: a fixed one tells nothing of the inner packet. */
const VXLAN_TTL = 64;

/** A VXLAN link, down, that learns nothing and answers no ARP. */
export function encodeAddVxlan(out: ByteWriter, spec: VxlanSpec): void {
  writeMessage(out, u.RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, (message) => {
    ifinfomsg(out, 0, u.IFF_NOARP, u.IFF_NOARP);
    message
      .string(u.IFLA_IFNAME, spec.name)
      .bytes(u.IFLA_ADDRESS, macToBytes(spec.mac))
      .u32(u.IFLA_MTU, spec.mtu)
      .u32(u.IFLA_GROUP, spec.group)
      .nested(u.IFLA_LINKINFO, (info) =>
        info.string(u.IFLA_INFO_KIND, 'vxlan').nested(u.IFLA_INFO_DATA, (data) => {
          const local = familyOf(spec.local) === 4 ? u.IFLA_VXLAN_LOCAL : u.IFLA_VXLAN_LOCAL6;
          data
            .u32(u.IFLA_VXLAN_ID, spec.vni)
            .u32(u.IFLA_VXLAN_LINK, spec.underlayIndex)
            .bytes(local, ipToBytes(spec.local))
            .u8(u.IFLA_VXLAN_TTL, VXLAN_TTL)
            .u8(u.IFLA_VXLAN_LEARNING, 0)
            .u16be(u.IFLA_VXLAN_PORT, spec.port);
          // RFC 7348 section 5: SHOULD be zero over IPv4; IPv6 wants one.
          if (familyOf(spec.local) === 4) data.u8(u.IFLA_VXLAN_UDP_CSUM, 0);
        }),
      );
  });
}

/** Changes to a link. Absent fields stay as they are. */
export interface LinkChanges {
  readonly up?: boolean;
  readonly noArp?: boolean;
  readonly mtu?: number;
  readonly group?: number;
  readonly mac?: MacAddress;
  /** sysctl net.ipv4.conf.LINK by name */
  readonly ipv4?: Partial<Ipv4Settings>;
  /** false: the kernel gives the link no IPv6 address by itself */
  readonly ipv6LinkLocal?: boolean;
}

/** @param link index, or name */
export function encodeSetLink(out: ByteWriter, link: number | string, changes: LinkChanges): void {
  writeMessage(out, u.RTM_SETLINK, NLM_F_ACK, (message) => {
    const flags = (changes.up ? u.IFF_UP : 0) | (changes.noArp ? u.IFF_NOARP : 0);
    const mask = (changes.up === undefined ? 0 : u.IFF_UP) | (changes.noArp === undefined ? 0 : u.IFF_NOARP);
    ifinfomsg(out, typeof link === 'number' ? link : 0, flags, mask);
    if (typeof link === 'string') message.string(u.IFLA_IFNAME, link);
    if (changes.mtu !== undefined) message.u32(u.IFLA_MTU, changes.mtu);
    if (changes.group !== undefined) message.u32(u.IFLA_GROUP, changes.group);
    if (changes.mac !== undefined) message.bytes(u.IFLA_ADDRESS, macToBytes(changes.mac));
    if (changes.ipv4 !== undefined || changes.ipv6LinkLocal === false) afSpec(message, changes);
  });
}

function afSpec(message: AttributeWriter, changes: LinkChanges): void {
  message.nested(u.IFLA_AF_SPEC, (families) => {
    if (changes.ipv4 !== undefined) {
      const settings = Object.entries(changes.ipv4) as [keyof typeof u.IPV4_DEVCONF, number][];
      families.nested(u.AF_INET, (inet) =>
        inet.nested(u.IFLA_INET_CONF, (conf) => {
          for (const [name, value] of settings) conf.u32(u.IPV4_DEVCONF[name], value);
        }),
      );
    }
    if (changes.ipv6LinkLocal === false) {
      families.nested(u.AF_INET6, (inet6) => inet6.u8(u.IFLA_INET6_ADDR_GEN_MODE, u.IN6_ADDR_GEN_MODE_NONE));
    }
  });
}

/** @param index and not a name, which may be another link's by the time the kernel gets to it */
export function encodeDelLink(out: ByteWriter, index: number): void {
  writeMessage(out, u.RTM_DELLINK, NLM_F_ACK, () => ifinfomsg(out, index, 0, 0));
}

/** Deletes every link of a group in one go: the waiting for grace periods is shared. */
export function encodeDelLinkGroup(out: ByteWriter, group: number): void {
  writeMessage(out, u.RTM_DELLINK, NLM_F_ACK, (message) => {
    ifinfomsg(out, 0, 0, 0);
    message.u32(u.IFLA_GROUP, group);
  });
}

export function encodeGetLinks(out: ByteWriter): void {
  writeMessage(out, u.RTM_GETLINK, NLM_F_DUMP, () => ifinfomsg(out, 0, 0, 0));
}

/** @param payload of RTM_NEWLINK or RTM_DELLINK @throws CodecError */
export function decodeLink(payload: Uint8Array): Link {
  const reader = new ByteReader(payload);
  reader.skip(4);
  const index = reader.s32();
  const flags = reader.u32();
  const attributes = parseAttributes(payload, IFINFOMSG);
  const mac = attributes.get(u.IFLA_ADDRESS)?.payload;
  const info = attributes.get(u.IFLA_LINKINFO)?.nested();
  const linkKind = info?.get(u.IFLA_INFO_KIND)?.string();
  const data = info?.get(u.IFLA_INFO_DATA);
  return {
    index,
    name: attributes.get(u.IFLA_IFNAME)?.string() ?? '',
    mac: mac?.length === 6 ? bytesToMac(mac) : undefined,
    mtu: attributes.get(u.IFLA_MTU)?.u32() ?? 0,
    group: attributes.get(u.IFLA_GROUP)?.u32() ?? 0,
    up: (flags & u.IFF_UP) !== 0,
    noArp: (flags & u.IFF_NOARP) !== 0,
    linkKind,
    vxlan: linkKind === 'vxlan' && data !== undefined ? decodeVxlan(data) : undefined,
    ...decodeFamilies(attributes.get(u.IFLA_AF_SPEC)?.nested()),
  };
}

/** The kernel lists IPv4's settings as u32 by number, from 1 on. @see net/ipv4/devinet.c, inet_fill_link_af */
function decodeFamilies(families: ReadonlyMap<number, Attribute> | undefined): Pick<Link, 'ipv4' | 'ipv6LinkLocal'> {
  const conf = families?.get(u.AF_INET)?.nested().get(u.IFLA_INET_CONF)?.payload;
  const mode = families?.get(u.AF_INET6)?.nested().get(u.IFLA_INET6_ADDR_GEN_MODE)?.u8();
  const ipv6LinkLocal = mode === undefined ? undefined : mode !== u.IN6_ADDR_GEN_MODE_NONE;
  if (conf === undefined) return { ipv4: undefined, ipv6LinkLocal };
  const reader = new ByteReader(conf);
  const values = Array.from({ length: Math.floor(conf.length / 4) }, () => reader.s32());
  const settings = Object.entries(u.IPV4_DEVCONF).map(([name, number]) => [name, values[number - 1] ?? 0]);
  return { ipv4: Object.fromEntries(settings) as Ipv4Settings, ipv6LinkLocal };
}

/** What has been set by sysctl. */
export interface SettingsNews {
  /** undefined: not of one link */
  readonly linkIndex: number | undefined;
  readonly settings: Partial<Pick<Ipv4Settings, 'forwarding' | 'rp_filter' | 'proxy_arp'>>;
}

/** @param payload of RTM_NEWNETCONF: struct netconfmsg (u8 family, padded), attributes @throws CodecError */
export function decodeSettingsNews(payload: Uint8Array): SettingsNews {
  const attributes = parseAttributes(payload, NETCONFMSG);
  // Negative for all links and for those to come.
  const index = (attributes.get(u.NETCONFA_IFINDEX)?.u32() ?? 0) | 0;
  const forwarding = attributes.get(u.NETCONFA_FORWARDING)?.u32();
  const filter = attributes.get(u.NETCONFA_RP_FILTER)?.u32();
  const proxy = attributes.get(u.NETCONFA_PROXY_NEIGH)?.u32();
  return {
    linkIndex: index > 0 ? index : undefined,
    settings: {
      ...(forwarding === undefined ? {} : { forwarding }),
      ...(filter === undefined ? {} : { rp_filter: filter }),
      ...(proxy === undefined ? {} : { proxy_arp: proxy }),
    },
  };
}

/** A link's name and the packets it has sent since it was made. */
export function decodeSentPackets(payload: Uint8Array): readonly [name: string, packets: number] {
  const attributes = parseAttributes(payload, IFINFOMSG);
  const stats = attributes.get(u.IFLA_STATS64)?.payload;
  // struct rtnl_link_stats64 begins with u64 rx_packets, u64 tx_packets
  const sent = stats && new DataView(stats.buffer, stats.byteOffset, stats.length).getBigUint64(8, true);
  return [attributes.get(u.IFLA_IFNAME)?.string() ?? '', Number(sent ?? 0n)];
}

function vxlanAddress({ type, payload, offset }: Attribute): IpAddress {
  const size = type === u.IFLA_VXLAN_LOCAL ? 4 : 16;
  if (payload.length !== size) throw new CodecError(`an address of ${size} bytes`, offset);
  return bytesToIp(payload);
}

function decodeVxlan(data: Attribute): VxlanSettings {
  const attributes = data.nested();
  const local = attributes.get(u.IFLA_VXLAN_LOCAL) ?? attributes.get(u.IFLA_VXLAN_LOCAL6);
  return {
    vni: attributes.get(u.IFLA_VXLAN_ID)?.u32() ?? 0,
    local: local && vxlanAddress(local),
    port: attributes.get(u.IFLA_VXLAN_PORT)?.u16be() ?? 0,
    underlayIndex: attributes.get(u.IFLA_VXLAN_LINK)?.u32() ?? 0,
    learning: attributes.get(u.IFLA_VXLAN_LEARNING)?.u8() !== 0,
  };
}
