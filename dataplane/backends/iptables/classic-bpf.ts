/**
 * Programs of classic BPF, written with labels and put together. A load beyond the packet ends a program with 0. Pure.
 * @see include/uapi/linux/filter.h, bpf_common.h
 */

/** BPF_LD | BPF_ABS of a word, half-word and byte; BPF_ALU | BPF_AND; BPF_MISC | BPF_TAX; BPF_RET */
export const LOAD_WORD = 0x20;
export const LOAD_HALF = 0x28;
export const LOAD_BYTE = 0x30;
/** BPF_LD | BPF_LEN: the length of the packet */
export const LOAD_LENGTH = 0x80;
/** BPF_LD | BPF_IND: likewise, from X on; BPF_LDX | BPF_MSH: X is the length of an IPv4 header, 4 * (byte & 0xf) */
export const LOAD_WORD_AT_X = 0x40;
export const LOAD_HALF_AT_X = 0x48;
export const LOAD_BYTE_AT_X = 0x50;
export const HEADER_LENGTH_TO_X = 0xb1;
export const AND = 0x54;
/** BPF_ALU by a constant: BPF_LSH, BPF_RSH, BPF_MUL; of X: BPF_ADD, BPF_XOR */
export const SHIFT_LEFT = 0x64;
export const SHIFT_RIGHT = 0x74;
export const MULTIPLY = 0x24;
export const ADD_X = 0x0c;
export const XOR_X = 0xac;
export const COPY_TO_X = 0x07;
export const RETURN = 0x06;
/** BPF_JMP: equal to a constant, to X; at least a constant; any bit of a constant */
export const IF_EQUAL = 0x15;
export const IF_EQUAL_X = 0x1d;
export const IF_AT_LEAST = 0x35;
export const IF_ANY_BIT = 0x45;

/** An instruction whose jumps name labels; `next` is the one that follows. */
export interface Instruction {
  readonly at?: string;
  readonly code: number;
  readonly k?: number;
  readonly yes?: string;
  readonly no?: string;
}

/** struct sock_filter */
export interface Assembled {
  readonly code: number;
  readonly yes: number;
  readonly no: number;
  readonly k: number;
}

/** @throws Error for a label that no later instruction has: jumps go forward */
export function assemble(program: readonly Instruction[]): Assembled[] {
  const targets = new Map(program.flatMap(({ at }, index) => (at === undefined ? [] : [[at, index] as const])));
  const distance = (from: number, label = 'next') => {
    if (label === 'next') return 0;
    const target = targets.get(label);
    if (target === undefined || target <= from) throw new Error(`no label ${label} after instruction ${from}`);
    return target - from - 1;
  };
  return program.map(({ code, k = 0, yes, no }, index) => ({
    code,
    yes: distance(index, yes),
    no: distance(index, no),
    k: k >>> 0,
  }));
}
