/**
 * Networks in keys: `010.128.004.000-22`. Addresses are zero-padded so that key order is address order, and a subnet and all inside it
 * form one range. Pure.
 */
import {
  AddressError,
  type IpPrefix,
  parsePrefix,
  parseSortableIp,
  prefixBase,
  prefixLength,
  sortableIp,
} from '../../../dataplane/address.ts';

export function formatPrefixKey(prefix: IpPrefix): string {
  return `${sortableIp(prefixBase(prefix))}-${prefixLength(prefix)}`;
}

const IPV4 = /^(\d{3})\.(\d{3})\.(\d{3})\.(\d{3})-(\d|[12]\d|3[0-2])$/;

/** @returns undefined for a text that is no network in the one spelling it has in keys */
export function parsePrefixKey(text: string): IpPrefix | undefined {
  const ipv4 = IPV4.exec(text);
  if (ipv4 !== null) return parseIpv4(ipv4);
  const dash = text.lastIndexOf('-');
  try {
    const prefix = parsePrefix(`${parseSortableIp(text.slice(0, dash))}/${text.slice(dash + 1)}`);
    return formatPrefixKey(prefix) === text ? prefix : undefined;
  } catch (error) {
    if (error instanceof AddressError) return undefined;
    throw error;
  }
}

/** By far the most of them, so without the detour over its own text. */
function parseIpv4([, a, b, c, d, bits]: RegExpExecArray): IpPrefix | undefined {
  const octets = [Number(a), Number(b), Number(c), Number(d)];
  const length = Number(bits);
  const base = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  if (octets.some((octet) => octet > 255) || base % 2 ** (32 - length) !== 0) return undefined;
  return `${octets.join('.')}/${length}` as IpPrefix;
}
