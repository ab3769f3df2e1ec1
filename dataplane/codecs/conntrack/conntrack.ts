/**
 * Connection tracking over ctnetlink: finding and ending the flows of an address. Newer kernels end what a filter matches by themselves
 * (6.11), or filter what they send (5.8); what an older one sends unfiltered is filtered here. The kernel has no index by address: it walks
 * the whole table, 9 ms for the 262,144 buckets of a large machine even if all are empty, so that walk is not done on the main thread. Nor
 * is an address with tens of thousands of flows a reason to keep that busy: their messages have a turn of the event loop by the hundred.
 * @see include/uapi/linux/netfilter/nfnetlink_conntrack.h
 */
import { bytesToIp, familyOf, type IpAddress, ipToBytes } from '../../address.ts';
import { CodecError, ERRNO, isErrno } from '../../errors.ts';
import { type Attribute, type AttributeWriter, parseAttributes } from '../../netlink/attribute.ts';
import { ByteWriter } from '../../netlink/bytes.ts';
import type { NetlinkConnection } from '../../netlink/connection.ts';
import { NLM_F_ACK, NLM_F_DUMP, writeMessage } from '../../netlink/message.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_FILTER = 25;
const CTA_TUPLE_IP = 1;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
/** which tuple fields a filter looks at. @see net/netfilter/nf_internals.h */
const CTA_FILTER_F_CTA_IP_SRC = 1;

/** Of flows that are ended one by one: a millisecond or two. */
const DELETIONS_PER_TURN = 512;

/** nfgenmsg: family, version, resource id */
const NFGENMSG = 4;
const AF_INET = 2;
const AF_INET6 = 10;

/** One tracked flow: the raw tuple that names it to the kernel, and its addresses. */
export interface ConntrackEntry {
  readonly family: 4 | 6;
  /** CTA_TUPLE_ORIG's payload */
  readonly tuple: Uint8Array;
  /** CTA_ID's payload: guards against a flow that took the tuple meanwhile */
  readonly id: Uint8Array | undefined;
  readonly zone: Uint8Array | undefined;
  readonly original: { readonly source: IpAddress; readonly destination: IpAddress };
  readonly reply: { readonly source: IpAddress; readonly destination: IpAddress };
}

export class Conntrack {
  readonly #connection: NetlinkConnection;
  /** until the kernel has been seen not to: it ends what a filter matches */
  #endsByFilter = true;
  /** one request at a time */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param connection NETLINK_NETFILTER, for no other user */
  constructor(connection: NetlinkConnection) {
    this.#connection = connection;
  }

  /**
   * Flows begun by the address, and flows it answers: all in which it is an end. (Where it is only spoken TO and another answers,
   * or is only answered and another spoke, addresses are translated and the other is the end.)
   * @throws KernelError
   */
  entriesOf(address: IpAddress): Promise<ConntrackEntry[]> {
    return this.#inTurn(() => this.#find(address));
  }

  /** Ends every flow of the addresses. @throws KernelError */
  forget(addresses: readonly IpAddress[]): Promise<void> {
    return this.#inTurn(async () => {
      for (const address of addresses)
        if (!(await this.#endByFilter(address))) await this.#delete(await this.#find(address));
    });
  }

  close(): void {
    this.#connection.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #find(address: IpAddress): Promise<ConntrackEntry[]> {
    // Linux filters IPv6 the wrong way round (seen in 6.18): it leaves out just what was asked for. So all of it is read.
    const isIpv6 = familyOf(address) === 6;
    const begun = await this.#dump(address, isIpv6 ? undefined : BEGUN_BY);
    const answered = isIpv6 ? begun : await this.#dump(address, ANSWERED_BY);
    return [
      ...begun.filter((entry) => entry.original.source === address),
      ...answered.filter((entry) => entry.reply.source === address && entry.original.source !== address),
    ];
  }

  /** @returns false if the kernel cannot, and has done nothing */
  async #endByFilter(address: IpAddress): Promise<boolean> {
    // As with dumps of IPv6: it would end all flows but those.
    if (!this.#endsByFilter || familyOf(address) === 6) return false;
    const out = new ByteWriter(256);
    for (const filter of [BEGUN_BY, ANSWERED_BY]) encodeEnd(out, address, filter);
    const describe = () => ({ op: 'IPCTNL_MSG_CT_DELETE', object: `flows of ${address}` });
    const errors = await this.#connection.requestEachAsync(out.finish(), describe);
    for (const error of errors.values()) {
      // An older kernel takes the filter for the name of one flow, which it is too short for.
      if (!isErrno(error, ERRNO.EINVAL, ERRNO.EOPNOTSUPP)) throw error;
      this.#endsByFilter = false;
    }
    return this.#endsByFilter;
  }

  async #delete(entries: readonly ConntrackEntry[]): Promise<void> {
    for (let from = 0; from < entries.length; from += DELETIONS_PER_TURN) {
      if (from > 0) await new Promise(setImmediate);
      const some = entries.slice(from, from + DELETIONS_PER_TURN);
      const out = new ByteWriter(some.length * 128);
      for (const entry of some) encodeDelete(out, entry);
      const errors = this.#connection.requestEach(out.finish(), (index) => ({
        op: 'IPCTNL_MSG_CT_DELETE',
        object: `flow ${some[index]?.original.source} to ${some[index]?.original.destination}`,
      }));
      // A flow that ended by itself meanwhile is as good.
      for (const error of errors.values()) if (!isErrno(error, ERRNO.ENOENT)) throw error;
    }
  }

  async #dump(address: IpAddress, filter: Filter | undefined): Promise<ConntrackEntry[]> {
    const out = new ByteWriter(128);
    encodeDump(out, address, filter);
    const describe = () => ({ op: 'IPCTNL_MSG_CT_GET', object: `flows of ${address}` });
    const answers = await this.#connection.dumpAsync(out.finish(), describe);
    return answers.map(({ payload }) => decodeEntry(payload));
  }
}

function nfgenmsg(out: ByteWriter, family: 4 | 6): void {
  out
    .u8(family === 4 ? AF_INET : AF_INET6)
    .u8(0)
    .u16be(0);
}

/** Which of a flow's tuples has the address as its source. */
interface Filter {
  readonly tuple: number;
  readonly flags: number;
}
const BEGUN_BY: Filter = { tuple: CTA_TUPLE_ORIG, flags: CTA_FILTER_ORIG_FLAGS };
const ANSWERED_BY: Filter = { tuple: CTA_TUPLE_REPLY, flags: CTA_FILTER_REPLY_FLAGS };

/** @param filter absent: every flow of the address's family */
function encodeDump(out: ByteWriter, address: IpAddress, filter: Filter | undefined): void {
  const family = familyOf(address);
  writeMessage(out, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, NLM_F_DUMP, (message) => {
    nfgenmsg(out, family);
    if (filter !== undefined) writeFilter(message, address, filter);
  });
}

function writeFilter(message: AttributeWriter, address: IpAddress, filter: Filter): void {
  const source = familyOf(address) === 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC;
  message
    .nested(filter.tuple, (parts) => parts.nested(CTA_TUPLE_IP, (ip) => ip.bytes(source, ipToBytes(address))))
    .nested(CTA_FILTER, (fields) => fields.u32(filter.flags, CTA_FILTER_F_CTA_IP_SRC));
}

/** Ends all flows that the filter matches. */
function encodeEnd(out: ByteWriter, address: IpAddress, filter: Filter): void {
  writeMessage(out, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, NLM_F_ACK, (message) => {
    nfgenmsg(out, familyOf(address));
    writeFilter(message, address, filter);
  });
}

function encodeDelete(out: ByteWriter, entry: ConntrackEntry): void {
  writeMessage(out, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, NLM_F_ACK, (message) => {
    nfgenmsg(out, entry.family);
    message.nested(CTA_TUPLE_ORIG, (parts) => parts.out.bytes(entry.tuple));
    if (entry.id !== undefined) message.bytes(CTA_ID, entry.id);
    if (entry.zone !== undefined) message.bytes(CTA_ZONE, entry.zone);
  });
}

/** @param payload of IPCTNL_MSG_CT_NEW @throws CodecError */
export function decodeEntry(payload: Uint8Array): ConntrackEntry {
  const attributes = parseAttributes(payload, NFGENMSG);
  const original = attributes.get(CTA_TUPLE_ORIG);
  return {
    family: payload[0] === AF_INET6 ? 6 : 4,
    tuple: original?.payload ?? new Uint8Array(),
    id: attributes.get(CTA_ID)?.payload,
    zone: attributes.get(CTA_ZONE)?.payload,
    original: decodeTuple(original),
    reply: decodeTuple(attributes.get(CTA_TUPLE_REPLY)),
  };
}

function decodeTuple(tuple: Attribute | undefined): { readonly source: IpAddress; readonly destination: IpAddress } {
  const ip = tuple?.nested().get(CTA_TUPLE_IP)?.nested();
  const address = (v4: number, v6: number) => {
    const found = ip?.get(v4) ?? ip?.get(v6);
    const length = found?.payload.length;
    if (found === undefined || (length !== 4 && length !== 16)) throw new CodecError('a tuple with both its addresses');
    return bytesToIp(found.payload);
  };
  return { source: address(CTA_IP_V4_SRC, CTA_IP_V6_SRC), destination: address(CTA_IP_V4_DST, CTA_IP_V6_DST) };
}
