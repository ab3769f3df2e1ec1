/**
 * Pieces that records of several kinds are made of, each with its type: addresses in their one spelling, labels, ports. Pure.
 */
import { Type } from 'typebox';
import {
  AddressError,
  type IpAddress,
  type IpPrefix,
  type MacAddress,
  parseIp,
  parseMac,
  parsePrefix,
} from '../../../dataplane/address.ts';
import type { RecordOf } from './kind.ts';

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const IPV4_PREFIX = /^(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})\/(\d|[12]\d|3[0-2])$/;

export const Ip = Type.Refine(
  Type.Unsafe<IpAddress>(Type.String()),
  (text) => IPV4.test(text) || isSpelled(text, parseIp),
  () => 'must be an IP address',
);

export const Prefix = Type.Refine(
  Type.Unsafe<IpPrefix>(Type.String()),
  (text) => isIpv4Prefix(text) || isSpelled(text, parsePrefix),
  () => 'must be a network without host bits',
);

export const Mac = Type.Refine(
  Type.Unsafe<MacAddress>(Type.String()),
  (text) => isSpelled(text, parseMac),
  () => 'must be a MAC address',
);

export const Labels = Type.Record(Type.String(), Type.String());
export type Labels = RecordOf<typeof Labels>;

export const Protocol = Type.Enum(['TCP', 'UDP', 'SCTP']);
export type Protocol = RecordOf<typeof Protocol>;

export const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 });

/** A port of a container by its name. */
export const NamedPort = Type.Object({ name: Type.String(), containerPort: PortNumber, protocol: Protocol });
export type NamedPort = RecordOf<typeof NamedPort>;

/** A time, RFC 3339. Only shown, or compared with itself. */
export const Time = Type.String();

/** A count, or a revision of the store. */
export const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

/** By far the most of them, and quicker than parsing. */
function isIpv4Prefix(text: string): boolean {
  const [, base = '', length = ''] = IPV4_PREFIX.exec(text) ?? [];
  if (!IPV4.test(base)) return false;
  const address = base.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return address % 2 ** (32 - Number(length)) === 0;
}

/** Addresses are compared as text, so each has one spelling. */
function isSpelled(text: string, parse: (text: string) => string): boolean {
  try {
    return parse(text) === text;
  } catch (error) {
    if (error instanceof AddressError) return false;
    throw error;
  }
}
