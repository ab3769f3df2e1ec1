/**
 * ipset through a netlink connection: sets made, filled, swapped and read back, without the program of that name. ipset has no
 * transaction: of several changes each happens or is refused by itself, in order. Synchronous.
 * @see net/netfilter/ipset/ip_set_core.c
 */
import { ERRNO, isErrno, KernelError } from '../../errors.ts';
import { ByteWriter } from '../../netlink/bytes.ts';
import type { NetlinkConnection } from '../../netlink/connection.ts';
import { familyNumber, formatMember, type IpsetMember, type IpsetSpec } from './member.ts';
import {
  type IpsetHeader,
  MemberWriter,
  parseIpset,
  parsePart,
  writeCreate,
  writeIpset,
  writeList,
  writeNamed,
} from './message.ts';
import * as u from './uapi.ts';

export type { IpsetMember, IpsetSpec } from './member.ts';
export type { IpsetHeader } from './message.ts';

/** One member to come or go. */
export interface IpsetChange {
  readonly op: 'add' | 'del';
  readonly set: IpsetSpec;
  readonly member: IpsetMember;
}

/** A set with what it holds. */
export interface IpsetDump extends IpsetHeader {
  readonly members: readonly IpsetMember[];
}

/** What a message asked, for errors: the members of it still by themselves. */
interface Request {
  readonly op: 'add' | 'del';
  readonly set: IpsetSpec;
  readonly members: readonly IpsetMember[];
}

/** Programs of today no longer list a hash:ip,port of revision 0; a hash:net,iface takes /0 since 2, and counts since 3. */
const EARLY_REVISION = 1;
const EARLY_REVISIONS: Readonly<Partial<Record<string, number>>> = { 'hash:net,iface': 3 };

export class Ipset {
  readonly #connection: NetlinkConnection;
  readonly #out = new ByteWriter(4096);
  readonly #writers = new WeakMap<IpsetSpec, MemberWriter>();
  readonly #revisions = new Map<string, number>();
  #agreed: number | undefined;

  /** @param connection NETLINK_NETFILTER; stays the caller's to close */
  constructor(connection: NetlinkConnection) {
    this.#connection = connection;
  }

  /**
   * The version of the protocol that is spoken: the highest that both know.
   * @throws KernelError when the kernel has no ipset, or one too old or too new
   */
  get protocol(): number {
    if (this.#agreed !== undefined) return this.#agreed;
    const object = 'protocol';
    const answer = this.#get('IPSET_CMD_PROTOCOL', object, (out) =>
      writeIpset(out, u.IPSET_CMD_PROTOCOL, 0, u.NFPROTO_UNSPEC, u.IPSET_PROTOCOL_MIN, () => undefined),
    );
    const newest = answer.get(u.IPSET_ATTR_PROTOCOL)?.u8() ?? 0;
    const oldest = answer.get(u.IPSET_ATTR_REVISION_MIN)?.u8() ?? newest;
    if (newest < u.IPSET_PROTOCOL_MIN || oldest > u.IPSET_PROTOCOL) {
      const extack = `it speaks ${oldest} to ${newest}, this is ${u.IPSET_PROTOCOL_MIN} to ${u.IPSET_PROTOCOL}`;
      throw new KernelError('IPSET_CMD_PROTOCOL', object, ERRNO.EOPNOTSUPP, { extack });
    }
    this.#agreed = Math.min(newest, u.IPSET_PROTOCOL);
    return this.#agreed;
  }

  /** @throws KernelError, EEXIST when there is a set of this name */
  create(spec: IpsetSpec): void {
    const revision = this.#revisionOf(spec);
    this.#send('IPSET_CMD_CREATE', spec, (out) => writeCreate(out, spec, this.protocol, revision));
  }

  /** Without such a set it does nothing. @throws KernelError, IPSET_ERR_BUSY while rules or lists refer to it */
  destroy(name: string): void {
    this.#send('IPSET_CMD_DESTROY', { name }, (out) => writeNamed(out, u.IPSET_CMD_DESTROY, this.protocol, name));
  }

  /** Takes all members out of a set. */
  flush(name: string): void {
    this.#send('IPSET_CMD_FLUSH', { name }, (out) => writeNamed(out, u.IPSET_CMD_FLUSH, this.protocol, name));
  }

  /** Two sets of one type change names, in one step: rules that refer to one go on with the other's members. */
  swap(name: string, other: string): void {
    this.#send('IPSET_CMD_SWAP', { name }, (out) => writeNamed(out, u.IPSET_CMD_SWAP, this.protocol, name, other));
  }

  /**
   * Makes changes in order, as many as there are. Adding what is there and deleting what is not is as wanted.
   * @throws KernelError naming set and member of the first that was refused; those before it, and perhaps some after it, were done
   */
  change(changes: readonly IpsetChange[]): void {
    const out = this.#out;
    out.truncate(0);
    const requests: Request[] = [];
    for (let next = 0; next < changes.length; ) next = this.#writeRun(changes, next, requests);
    if (requests.length === 0) return;
    const errors = this.#connection.requestEach(out.finish(), (index) => describe(requests[index]));
    for (const [index, error] of errors) {
      const request = requests[index];
      if (request !== undefined && request.members.length > 1) this.#findCulprit(request);
      throw inWords(error, request?.set.type ?? '');
    }
  }

  /** Sets whose name begins so, without their members. Costs the names of all sets there are, and a small message for each of these. */
  headers(prefix: string): IpsetHeader[] {
    return this.#names(prefix).flatMap((name) => this.#read(name, u.IPSET_FLAG_LIST_HEADER) ?? []);
  }

  /** Sets whose name begins so, with all their members. */
  list(prefix: string): IpsetDump[] {
    return this.#names(prefix).flatMap((name) => this.#read(name, 0) ?? []);
  }

  /** One set with its members. @returns undefined when there is none */
  find(name: string): IpsetDump | undefined {
    return this.#read(name, 0);
  }

  /** Writes the changes from `first` on that are of one kind and one set. @returns the index of the next one */
  #writeRun(changes: readonly IpsetChange[], first: number, requests: Request[]): number {
    const { op, set } = changes[first] as IpsetChange;
    let end = first + 1;
    while (end < changes.length && changes[end]?.op === op && changes[end]?.set === set) end++;
    const members = changes.slice(first, end).map(({ member }) => member);
    const writer = this.#writer(set);
    const command = op === 'add' ? u.IPSET_CMD_ADD : u.IPSET_CMD_DEL;
    if (members.length === 1) {
      for (const member of members) writer.writeOne(this.#out, command, member);
      requests.push({ op, set, members });
      return end;
    }
    for (let done = 0; done < members.length; ) {
      const next = writer.writeMany(this.#out, command, members, done);
      requests.push({ op, set, members: members.slice(done, next) });
      done = next;
    }
    return end;
  }

  /** Of several members in one message the kernel does not say which it refused. @throws KernelError naming it */
  #findCulprit({ op, set, members }: Request): void {
    for (const member of members) this.change([{ op, set, member }]);
  }

  #writer(set: IpsetSpec): MemberWriter {
    const known = this.#writers.get(set);
    if (known !== undefined) return known;
    const made = new MemberWriter(set, this.protocol);
    this.#writers.set(set, made);
    return made;
  }

  #names(prefix: string): string[] {
    const parts = this.#dump('all sets', undefined, u.IPSET_FLAG_LIST_SETNAME);
    return parts
      .map((payload) => parseIpset(payload).get(u.IPSET_ATTR_SETNAME)?.string() ?? '')
      .filter((name) => name.startsWith(prefix));
  }

  /** @returns undefined when there is no such set, or it is of a type that is none of ours */
  #read(name: string, flags: number): IpsetDump | undefined {
    let header: IpsetHeader | undefined;
    const members: IpsetMember[] = [];
    try {
      for (const payload of this.#dump(`set ${name}`, name, flags)) {
        const part = parsePart(payload, header);
        header = part.header ?? header;
        for (const member of part.members) members.push(member);
      }
    } catch (error) {
      if (isErrno(error, ERRNO.ENOENT)) return undefined;
      throw error;
    }
    return header && { ...header, members };
  }

  #dump(object: string, name: string | undefined, flags: number): Uint8Array[] {
    const out = new ByteWriter(64);
    writeList(out, this.protocol, name, flags);
    const answers = this.#connection.dump(out.finish(), () => ({ op: 'IPSET_CMD_LIST', object }));
    return answers.map(({ payload }) => payload);
  }

  /** An early revision of a type, which old kernels have and new programs still list: nothing newer is needed. */
  #revisionOf(spec: IpsetSpec): number {
    const known = this.#revisions.get(spec.type);
    if (known !== undefined) return known;
    const family = familyNumber(spec);
    const answer = this.#get('IPSET_CMD_TYPE', `type ${spec.type}`, (out) =>
      writeIpset(out, u.IPSET_CMD_TYPE, 0, family, this.protocol, (attributes) =>
        attributes.string(u.IPSET_ATTR_TYPENAME, spec.type).u8(u.IPSET_ATTR_FAMILY, family),
      ),
    );
    const newest = answer.get(u.IPSET_ATTR_REVISION)?.u8() ?? 0;
    const oldest = answer.get(u.IPSET_ATTR_REVISION_MIN)?.u8() ?? newest;
    const revision = Math.min(newest, Math.max(oldest, EARLY_REVISIONS[spec.type] ?? EARLY_REVISION));
    this.#revisions.set(spec.type, revision);
    return revision;
  }

  #get(op: string, object: string, write: (out: ByteWriter) => void) {
    const out = new ByteWriter(64);
    write(out);
    try {
      return parseIpset(this.#connection.get(out.finish(), () => ({ op, object })).payload);
    } catch (error) {
      throw error instanceof KernelError ? inWords(error, '') : error;
    }
  }

  #send(
    op: string,
    { name, type = '' }: { readonly name: string; readonly type?: string },
    write: (out: ByteWriter) => void,
  ) {
    const out = new ByteWriter(256);
    write(out);
    const errors = this.#connection.requestEach(out.finish(), () => ({ op, object: `set ${name}` }));
    for (const error of errors.values()) throw inWords(error, type);
  }
}

function describe(request: Request | undefined): { readonly op: string; readonly object: string } {
  if (request === undefined) return { op: 'ipset', object: 'message' };
  const { op, set, members } = request;
  const [first] = members;
  const what = members.length === 1 && first !== undefined ? formatMember(first) : `${members.length} members`;
  return { op: op === 'add' ? 'IPSET_CMD_ADD' : 'IPSET_CMD_DEL', object: `${what} in set ${set.name}` };
}

/** ipset has errors of its own, which no errno has words for. */
function inWords(error: KernelError, type: string): KernelError {
  const extack = error.extack ?? u.ipsetErrorText(error.errno, type);
  return extack === undefined ? error : new KernelError(error.op, error.object, error.errno, { extack });
}
