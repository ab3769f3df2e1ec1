/**
 * Numbers of ipset's netlink protocol, spelled as in the kernel. Pure.
 * @see include/uapi/linux/netfilter/ipset/ip_set.h, ip_set_hash.h, ip_set_list.h, ip_set_bitmap.h
 */

/** @see include/uapi/linux/netfilter/nfnetlink.h */
export const NFNL_SUBSYS_IPSET = 6;
export const NFNETLINK_V0 = 0;

/** Version 6 is spoken by every kernel since 2.6.39, 7 by those since 4.20; both mean the same in what is used here. */
export const IPSET_PROTOCOL_MIN = 6;
export const IPSET_PROTOCOL = 7;

export const IPSET_CMD_PROTOCOL = 1;
export const IPSET_CMD_CREATE = 2;
export const IPSET_CMD_DESTROY = 3;
export const IPSET_CMD_FLUSH = 4;
export const IPSET_CMD_SWAP = 6;
export const IPSET_CMD_LIST = 7;
export const IPSET_CMD_ADD = 9;
export const IPSET_CMD_DEL = 10;
export const IPSET_CMD_TYPE = 13;

export const IPSET_ATTR_PROTOCOL = 1;
export const IPSET_ATTR_SETNAME = 2;
export const IPSET_ATTR_TYPENAME = 3;
export const IPSET_ATTR_SETNAME2 = 3;
export const IPSET_ATTR_REVISION = 4;
export const IPSET_ATTR_FAMILY = 5;
export const IPSET_ATTR_FLAGS = 6;
export const IPSET_ATTR_DATA = 7;
export const IPSET_ATTR_ADT = 8;
export const IPSET_ATTR_LINENO = 9;
/** In an answer about a type: its lowest revision. In one about the protocol: its lowest version. */
export const IPSET_ATTR_REVISION_MIN = 10;

/** In IPSET_ATTR_DATA, of sets and of members. */
export const IPSET_ATTR_IP = 1;
export const IPSET_ATTR_IP_TO = 2;
export const IPSET_ATTR_CIDR = 3;
export const IPSET_ATTR_PORT = 4;
export const IPSET_ATTR_PROTO = 7;
export const IPSET_ATTR_CADT_FLAGS = 8;
/** In IPSET_ATTR_DATA, of sets alone. */
export const IPSET_ATTR_HASHSIZE = 18;
export const IPSET_ATTR_MAXELEM = 19;
export const IPSET_ATTR_ELEMENTS = 24;
export const IPSET_ATTR_REFERENCES = 25;
export const IPSET_ATTR_MEMSIZE = 26;
/** In IPSET_ATTR_DATA, of members alone. */
export const IPSET_ATTR_ETHER = 17;
export const IPSET_ATTR_NAME = 18;
export const IPSET_ATTR_IFACE = 23;
export const IPSET_ATTR_PACKETS = 25;

export const IPSET_ATTR_IPADDR_IPV4 = 1;
export const IPSET_ATTR_IPADDR_IPV6 = 2;

/** Of IPSET_CMD_LIST: names alone, and everything but the members. */
export const IPSET_FLAG_LIST_SETNAME = 1 << 1;
export const IPSET_FLAG_LIST_HEADER = 1 << 2;

/** Of IPSET_ATTR_CADT_FLAGS: of members, and of sets. */
export const IPSET_FLAG_NOMATCH = 1 << 2;
export const IPSET_FLAG_WITH_COUNTERS = 1 << 3;

export const NFPROTO_UNSPEC = 0;
export const NFPROTO_IPV4 = 2;
export const NFPROTO_IPV6 = 10;

/** ipset's own error numbers, above all of errno. */
export const IPSET_ERR_TYPE_MISMATCH = 4102;
export const IPSET_ERR_EXIST = 4103;
export const IPSET_ERR_REFERENCED = 4108;
/** Of hashes; lists and bitmaps use the same numbers for other things. */
export const IPSET_ERR_HASH_FULL = 4352;

const COMMON_ERRORS: ReadonlyMap<number, string> = new Map([
  [4097, 'the kernel speaks another version of the protocol'],
  [4098, 'the kernel does not have this type of set'],
  [4099, 'there are as many sets as the kernel can hold'],
  [4100, 'the set is in use'],
  [4101, 'there is a set of the new name already'],
  [IPSET_ERR_TYPE_MISMATCH, 'the sets are of different types'],
  [IPSET_ERR_EXIST, 'it is there already, or not there'],
  [4104, 'the prefix length does not fit'],
  [4106, 'the address is of the other family'],
  [IPSET_ERR_REFERENCED, 'rules or other sets refer to it'],
  [4109, 'an IPv4 address is wanted'],
  [4110, 'an IPv6 address is wanted'],
]);
const TYPE_ERRORS: Readonly<Record<'hash' | 'bitmap' | 'list', readonly string[]>> = {
  hash: ['the set is full', 'the member is not valid', 'the protocol has no ports', 'a protocol is missing'],
  bitmap: ['the address is outside the set’s range', 'the range is too large'],
  list: [
    'there is no such set',
    'a list cannot hold a list',
    'the place is not valid',
    'the place is not there',
    'the list is full',
  ],
};
const IPSET_ERR_TYPE_SPECIFIC = 4352;

/** What an error number of ipset's means, in words. @param type of the set; undefined for an errno */
export function ipsetErrorText(errno: number, type: string): string | undefined {
  const family = type.slice(0, type.indexOf(':'));
  const own = family === 'bitmap' || family === 'list' ? TYPE_ERRORS[family] : TYPE_ERRORS.hash;
  return COMMON_ERRORS.get(errno) ?? own[errno - IPSET_ERR_TYPE_SPECIFIC];
}
