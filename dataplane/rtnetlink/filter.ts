/**
 * One classic BPF program at a link's ingress, where packets come in before everything else. Pure.
 * @see include/uapi/linux/pkt_sched.h, pkt_cls.h; net/sched/sch_ingress.c, cls_bpf.c
 */
import { parseAttributes } from '../netlink/attribute.ts';
import { ByteReader, type ByteWriter } from '../netlink/bytes.ts';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, writeMessage } from '../netlink/message.ts';
import * as u from './uapi.ts';

/** A filter as the kernel shows it. */
export interface Filter {
  readonly linkIndex: number;
  readonly kind: string;
  readonly priority: number;
  /** an array of struct sock_filter; empty for a filter of another kind */
  readonly program: Uint8Array;
}

/** struct tcmsg */
const TCMSG = 20;
/** of ours at an ingress, before others' */
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

/** Puts a program in the place of the one that was there, if any, in one step. What it returns is what becomes of the packet. */
export function encodeReplaceFilter(out: ByteWriter, linkIndex: number, program: Uint8Array): void {
  writeMessage(out, u.RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE, (message) => {
    tcmsg(out, linkIndex, HANDLE, u.TC_H_INGRESS, (PRIORITY << 16) | ALL_PROTOCOLS);
    message.string(u.TCA_KIND, 'bpf').nested(u.TCA_OPTIONS, (options) =>
      options
        .u16(u.TCA_BPF_OPS_LEN, program.length / 8)
        .bytes(u.TCA_BPF_OPS, program)
        .u32(u.TCA_BPF_FLAGS, u.TCA_BPF_FLAG_ACT_DIRECT),
    );
  });
}

/** All at one link's ingress. */
export function encodeGetFilters(out: ByteWriter, linkIndex: number): void {
  writeMessage(out, u.RTM_GETTFILTER, NLM_F_DUMP, () => tcmsg(out, linkIndex, 0, u.TC_H_INGRESS, 0));
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
  const program = kind === 'bpf' ? attributes.get(u.TCA_OPTIONS)?.nested().get(u.TCA_BPF_OPS)?.payload : undefined;
  return { linkIndex, kind, priority, program: program ?? new Uint8Array() };
}
