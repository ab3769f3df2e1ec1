/** Routes. Pure. @see include/uapi/linux/rtnetlink.h */
import {
  bytesToIp,
  familyOf,
  type IpAddress,
  type IpPrefix,
  ipToBytes,
  prefixBase,
  prefixLength,
} from '../../address.ts';
import { CodecError } from '../../errors.ts';
import { parseAttributes } from '../../netlink/attribute.ts';
import { ByteReader, type ByteWriter } from '../../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, writeMessage } from '../../netlink/message.ts';
import * as u from './uapi.ts';

export type RouteType = 'unicast' | 'blackhole' | 'unreachable' | 'prohibit';

const TYPE_NUMBER = {
  unicast: u.RTN_UNICAST,
  blackhole: u.RTN_BLACKHOLE,
  unreachable: u.RTN_UNREACHABLE,
  prohibit: u.RTN_PROHIBIT,
} as const satisfies Record<RouteType, number>;
const TYPE_NAME = new Map<number, RouteType>(Object.entries(TYPE_NUMBER).map(([name, n]) => [n, name as RouteType]));

export interface Route {
  readonly destination: IpPrefix;
  readonly type: RouteType;
  /** rtm_protocol: who put it there */
  readonly protocol: number;
  readonly table: number;
  readonly linkIndex?: number;
  readonly gateway?: IpAddress;
  /** the gateway is on the link whatever the link's addresses say */
  readonly onlink?: boolean;
  readonly source?: IpAddress;
  /** priority among routes to one destination: the lowest wins. IPv6 has 1024 where none is given */
  readonly metric?: number;
}

/** struct rtmsg */
const RTMSG = 12;

/** Adds a route. The kernel says EEXIST when there is one to the same destination with the same metric, whosever it is. */
export function encodeAddRoute(out: ByteWriter, route: Route): void {
  encode(out, u.RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, route);
}

/** Adds a route or replaces the one to the same destination with the same metric, whosever it is. */
export function encodeReplaceRoute(out: ByteWriter, route: Route): void {
  encode(out, u.RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, route);
}

export function encodeDelRoute(out: ByteWriter, route: Route): void {
  encode(out, u.RTM_DELROUTE, NLM_F_ACK, route);
}

function encode(out: ByteWriter, type: number, flags: number, route: Route): void {
  writeMessage(out, type, flags, (message) => {
    const family = familyOf(route.destination) === 4 ? u.AF_INET : u.AF_INET6;
    const scope = route.type === 'unicast' && route.gateway === undefined ? u.RT_SCOPE_LINK : u.RT_SCOPE_UNIVERSE;
    out.u8(family).u8(prefixLength(route.destination)).u8(0).u8(0);
    out
      .u8(route.table < 256 ? route.table : 0)
      .u8(route.protocol)
      .u8(scope)
      .u8(TYPE_NUMBER[route.type]);
    out.u32(route.onlink ? u.RTNH_F_ONLINK : 0);
    message.bytes(u.RTA_DST, ipToBytes(prefixBase(route.destination))).u32(u.RTA_TABLE, route.table);
    if (route.gateway !== undefined) message.bytes(u.RTA_GATEWAY, ipToBytes(route.gateway));
    if (route.linkIndex !== undefined) message.u32(u.RTA_OIF, route.linkIndex);
    if (route.source !== undefined) message.bytes(u.RTA_PREFSRC, ipToBytes(route.source));
    if (route.metric !== undefined) message.u32(u.RTA_PRIORITY, route.metric);
  });
}

/**
 * Dumps the routes of a family, of every table.
 * @param protocol only routes that this one put there; kernels without strict checking (before 4.20) send all the same
 */
export function encodeGetRoutes(out: ByteWriter, family: 4 | 6, protocol = 0): void {
  writeMessage(out, u.RTM_GETROUTE, NLM_F_DUMP, () => {
    out
      .u8(family === 4 ? u.AF_INET : u.AF_INET6)
      .zeros(4)
      .u8(protocol)
      .zeros(RTMSG - 6);
  });
}

/** @param payload of RTM_NEWROUTE or RTM_DELROUTE @returns undefined for kinds of route Tenet never makes @throws CodecError */
export function decodeRoute(payload: Uint8Array): Route | undefined {
  const reader = new ByteReader(payload);
  const family = reader.u8();
  const length = reader.u8();
  reader.skip(2);
  const shortTable = reader.u8();
  const protocol = reader.u8();
  reader.skip(1);
  const type = TYPE_NAME.get(reader.u8());
  const flags = reader.u32();
  if (type === undefined || (family !== u.AF_INET && family !== u.AF_INET6)) return undefined;
  const attributes = parseAttributes(payload, RTMSG);
  const size = family === u.AF_INET ? 4 : 16;
  if (length > size * 8) throw new CodecError(`a prefix of at most ${size * 8} bits, got ${length}`, 1);
  const address = (type: number): IpAddress | undefined => {
    const bytes = attributes.get(type)?.payload;
    if (bytes === undefined) return undefined;
    if (bytes.length !== size) throw new CodecError(`an address of ${size} bytes in attribute ${type}`, RTMSG);
    return bytesToIp(bytes);
  };
  const base = address(u.RTA_DST) ?? bytesToIp(new Uint8Array(size));
  const gateway = address(u.RTA_GATEWAY);
  const source = address(u.RTA_PREFSRC);
  const linkIndex = attributes.get(u.RTA_OIF)?.u32();
  const metric = attributes.get(u.RTA_PRIORITY)?.u32();
  return {
    destination: `${base}/${length}` as IpPrefix,
    type,
    protocol,
    table: attributes.get(u.RTA_TABLE)?.u32() ?? shortTable,
    ...(linkIndex === undefined ? {} : { linkIndex }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(flags & u.RTNH_F_ONLINK ? { onlink: true } : {}),
    ...(source === undefined ? {} : { source }),
    ...(metric === undefined ? {} : { metric }),
  };
}
