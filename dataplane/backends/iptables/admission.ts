/**
 * What the link of a pod asks of a packet that is sent to it: a priority that only a rule of ours gives, once it has decided. Nothing
 * outside can bring it along: a packet that comes out of a pod has none, and forwarding sets one of sixteen. So what others' rules accept
 * ahead of ours, or what comes while our chains are empty, ends at the link, whether an agent lives or not. Pure.
 * @see net/core/dev.c, ____dev_forward_skb; net/ipv4/ip_forward.c; net/netfilter/xt_CLASSIFY.c
 */
import { ByteWriter } from '../../netlink/bytes.ts';
import { POD_GROUP } from '../../ownership.ts';

/** skb->priority. The lower half is best effort to every queue; a class of a queue that others put there it hardly names. */
export const ADMITTED = (POD_GROUP << 16) >>> 0;

/** include/uapi/linux/pkt_cls.h: go on as if there were no filter; drop */
const TC_ACT_OK = 0;
const TC_ACT_SHOT = 2;
/** offset in struct __sk_buff, include/uapi/linux/bpf.h: nine fields of 32 bits, the last of which it is */
const PRIORITY = 32;
/** BPF_LDX | BPF_MEM | BPF_W, BPF_ALU64 | BPF_MOV | BPF_K, BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_EXIT */
const LOAD_FIELD = 0x61;
const SET = 0xb7;
const IF_EQUAL = 0x15;
const EXIT = 0x95;
/** the result; the packet, struct __sk_buff; one to use */
const [R0, R1, R2] = [0, 1, 2];

/** For a link's egress, eBPF: classic BPF has no word for a packet's priority. @returns an array of struct bpf_insn */
export function admissionProgram(): Uint8Array {
  const out = new ByteWriter(5 * 8);
  const add = (code: number, to: number, { from = 0, offset = 0, constant = 0 }) =>
    out
      .u8(code)
      .u8((from << 4) | to)
      .u16(offset)
      .u32(constant);
  add(LOAD_FIELD, R2, { from: R1, offset: PRIORITY });
  add(SET, R0, { constant: TC_ACT_OK });
  add(IF_EQUAL, R2, { offset: 1, constant: ADMITTED });
  add(SET, R0, { constant: TC_ACT_SHOT });
  add(EXIT, R0, {});
  return out.finish();
}
