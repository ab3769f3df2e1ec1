/**
 * One program at a link's ingress, where packets come in before everything else: classic BPF; and one at its egress, after everything
 * else: eBPF, loaded before. Pure.
 * @see include/uapi/linux/pkt_sched.h, pkt_cls.h; net/sched/sch_ingress.c, cls_bpf.c
 */
import { type AttributeWriter, parseAttributes } from '../../netlink/attribute.ts';
import { ByteReader, type ByteWriter } from '../../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, writeMessage } from '../../netlink/message.ts';
import * as u from './uapi.ts';

/** A filter as the kernel shows it. */
export interface Filter {
  readonly linkIndex: number;
  readonly kind: string;
  readonly priority: number;
  /** an array of struct sock_filter; empty for a filter of another kind */
  readonly program: Uint8Array;
  /** of an eBPF program, by which the kernel tells it from others: hexadecimal */
  readonly tag: string | undefined;
}

export type FilterPlace = 'ingress' | 'egress';

const PARENT = { ingress: u.TC_H_INGRESS, egress: u.TC_H_EGRESS } as const satisfies Record<FilterPlace, number>;

/** struct tcmsg */
const TCMSG = 20;
/** of ours, before others' */
const PRIORITY = 1;
const HANDLE = 1;
/** htons(ETH_P_ALL), in the lower half of tcm_info */
const ALL_PROTOCOLS = 0x0300;

function tcmsg(out: ByteWriter, linkIndex: number, handle: number, parent: number, info: number): void {
  out.u8(u.AF_UNSPEC).zeros(3).s32(linkIndex).u32(handle).u32(parent).u32(info);
}

/** What filters hang on. EEXIST when it is there. */
export function encodeAddClsact(out: ByteWriter, linkIndex: number): void {
  writeMessage(out, u.RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, (message) => {
    tcmsg(out, linkIndex, u.TC_H_CLSACT_HANDLE, u.TC_H_CLSACT, 0);
    message.string(u.TCA_KIND, 'clsact');
  });
}

/** Takes it away with all its filters. EINVAL or ENOENT when there is none. */
export function encodeDelClsact(out: ByteWriter, linkIndex: number): void {
  writeMessage(out, u.RTM_DELQDISC, NLM_F_ACK, (message) => {
    tcmsg(out, linkIndex, u.TC_H_CLSACT_HANDLE, u.TC_H_CLSACT, 0);
    message.string(u.TCA_KIND, 'clsact');
  });
}

/**
 * Puts a program at the ingress in the place of the one that was there, if any, in one step. What it returns is what becomes of the
 * packet.
 * @param program an array of struct sock_filter
 */
export function encodeReplaceFilter(out: ByteWriter, linkIndex: number, program: Uint8Array): void {
  encodeReplace(out, linkIndex, { place: 'ingress', priority: PRIORITY }, (options) =>
    options.u16(u.TCA_BPF_OPS_LEN, program.length / 8).bytes(u.TCA_BPF_OPS, program),
  );
}

/** A program that is in the kernel. */
export interface LoadedFilter {
  readonly place: FilterPlace;
  /** of a classifier of this process's */
  readonly fd: number;
  /** as tools list it */
  readonly name: string;
  /** whose turn it is; the first one's unless given */
  readonly priority?: number;
}

/** As {@link encodeReplaceFilter}. */
export function encodeReplaceLoaded(out: ByteWriter, linkIndex: number, filter: LoadedFilter): void {
  const { place, fd, name, priority = PRIORITY } = filter;
  const program = (options: AttributeWriter) => options.u32(u.TCA_BPF_FD, fd).string(u.TCA_BPF_NAME, name);
  encodeReplace(out, linkIndex, { place, priority }, program);
}

function encodeReplace(
  out: ByteWriter,
  linkIndex: number,
  { place, priority }: { readonly place: FilterPlace; readonly priority: number },
  program: (options: AttributeWriter) => AttributeWriter,
): void {
  writeMessage(out, u.RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE, (message) => {
    tcmsg(out, linkIndex, HANDLE, PARENT[place], (priority << 16) | ALL_PROTOCOLS);
    message
      .string(u.TCA_KIND, 'bpf')
      .nested(u.TCA_OPTIONS, (options) => program(options).u32(u.TCA_BPF_FLAGS, u.TCA_BPF_FLAG_ACT_DIRECT));
  });
}

/** All at one place of a link. */
export function encodeGetFilters(out: ByteWriter, linkIndex: number, place: FilterPlace): void {
  writeMessage(out, u.RTM_GETTFILTER, NLM_F_DUMP, () => tcmsg(out, linkIndex, 0, PARENT[place], 0));
}

/** @returns undefined for what stands before the filters themselves @throws CodecError */
export function decodeFilter(payload: Uint8Array): Filter | undefined {
  const header = new ByteReader(payload);
  header.skip(4);
  const linkIndex = header.s32();
  const handle = header.u32();
  header.skip(4);
  const priority = header.u32() >>> 16;
  if (handle === 0) return undefined;
  const attributes = parseAttributes(payload, TCMSG);
  const kind = attributes.get(u.TCA_KIND)?.string() ?? '';
  const options = kind === 'bpf' ? attributes.get(u.TCA_OPTIONS)?.nested() : undefined;
  const tag = options?.get(u.TCA_BPF_TAG)?.payload;
  return {
    linkIndex,
    kind,
    priority,
    program: options?.get(u.TCA_BPF_OPS)?.payload ?? new Uint8Array(),
    tag: tag && Array.from(tag, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  };
}
