/**
 * Programs of extended BPF, written with labels and put together. Pure.
 * @see Documentation/bpf/standardization/instruction-set.rst, include/uapi/linux/bpf.h
 */
import { ByteWriter } from '../netlink/bytes.ts';

/** A register: the result of a call, its arguments 1 to 5 (lost by the call), 6 to 9 to keep things in, and the end of the stack. */
export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;
export const STACK = 10;
type AnyRegister = Register | typeof STACK;

/** Bits of a field in memory, and how BPF_LDX, BPF_STX and BPF_LD spell them. */
const WIDTH = { 8: 0x10, 16: 0x08, 32: 0x00, 64: 0x18 } as const;
type Width = keyof typeof WIDTH;

/** BPF_ALU64 with a constant; with a register 8 more. */
const ARITHMETIC = {
  '+': 0x07,
  '/': 0x37,
  '|': 0x47,
  '&': 0x57,
  '<<': 0x67,
  '>>': 0x77,
  '-': 0x17,
  '=': 0xb7,
} as const;
/** BPF_JMP with a constant, unsigned; with a register 8 more. `&` jumps if any bit is common. */
const CONDITIONS = { '==': 0x15, '>': 0x25, '>=': 0x35, '&': 0x45, '!=': 0x55, '<': 0xa5, '<=': 0xb5 } as const;
const WITH_REGISTER = 0x08;
const LOAD_CONSTANT = 0x18;
const LOAD_PACKET = 0x20;
const LOAD = 0x61;
const STORE = 0x63;
const ADD_ATOMICALLY = 0xdb;
const GO = 0x05;
const CALL = 0x85;
const EXIT = 0x95;
/** BPF_PSEUDO_MAP_FD */
const MAP_OF_FD = 1;

/** Helpers of the kernel by their numbers in enum bpf_func_id. */
export const HELPERS = { lookUp: 1, update: 2, delete: 3, nanoseconds: 5 } as const;

interface Instruction {
  readonly code: number;
  readonly to?: AnyRegister;
  readonly from?: number;
  readonly offset?: number;
  readonly constant?: number;
  readonly label?: string;
}

/** Where something is in memory: so many bytes from where a register points. */
export interface Place {
  readonly base: AnyRegister;
  readonly offset: number;
  readonly width: Width;
}

export class BpfProgram {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  /** A name for the instruction that comes next. */
  label(name: string): this {
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  /** `to = to op value`; `=` sets it. @param value a register's number in `{ of }`, or a constant of 32 bits, its sign extended */
  compute(to: Register, op: keyof typeof ARITHMETIC, value: number | { readonly of: AnyRegister }): this {
    const code = ARITHMETIC[op];
    if (typeof value === 'number') return this.#add({ code, to, constant: value });
    return this.#add({ code: code | WITH_REGISTER, to, from: value.of });
  }

  load(to: Register, { base, offset, width }: Place): this {
    return this.#add({ code: LOAD | WIDTH[width], to, from: base, offset });
  }

  store({ base, offset, width }: Place, from: Register): this {
    return this.#add({ code: STORE | WIDTH[width], to: base, from, offset });
  }

  /** Adds a register to 64 bits in memory, whatever other processors do there. */
  addTo({ base, offset }: Place, from: Register): this {
    return this.#add({ code: ADD_ATOMICALLY, to: base, from, offset });
  }

  /** Into register 0, in the host's order, from a packet whose struct __sk_buff is in register 6; ends with 0 where it is too short. */
  packet(offset: number, width: 8 | 16 | 32): this {
    return this.#add({ code: LOAD_PACKET | WIDTH[width], constant: offset });
  }

  /** The address of a map, for a helper. */
  map(to: Register, fd: number): this {
    this.#add({ code: LOAD_CONSTANT, to, from: MAP_OF_FD, constant: fd });
    return this.#add({ code: 0 });
  }

  /** The address of something on the stack, for a helper. @param offset below its end: negative */
  address(to: Register, offset: number): this {
    return this.compute(to, '=', { of: STACK }).compute(to, '+', offset);
  }

  call(helper: keyof typeof HELPERS): this {
    return this.#add({ code: CALL, constant: HELPERS[helper] });
  }

  go(label: string): this {
    return this.#add({ code: GO, label });
  }

  /** Jumps if it holds, all taken without signs. */
  when(
    left: Register,
    condition: keyof typeof CONDITIONS,
    right: number | { readonly of: Register },
    label: string,
  ): this {
    const code = CONDITIONS[condition];
    if (typeof right === 'number') return this.#add({ code, to: left, constant: right, label });
    return this.#add({ code: code | WITH_REGISTER, to: left, from: right.of, label });
  }

  /** Ends with what register 0 holds. */
  exit(): this {
    return this.#add({ code: EXIT });
  }

  /** @returns an array of struct bpf_insn, in the order of bytes that both supported processors have @throws Error for an unknown label */
  assemble(): Uint8Array {
    const out = new ByteWriter(this.#instructions.length * 8);
    for (const [index, { code, to = 0, from = 0, offset = 0, constant = 0, label }] of this.#instructions.entries()) {
      const distance = label === undefined ? offset : this.#find(label) - index - 1;
      out
        .u8(code)
        .u8((from << 4) | to)
        .u16(distance & 0xffff)
        .u32(constant >>> 0);
    }
    return out.finish();
  }

  #find(label: string): number {
    const index = this.#labels.get(label);
    if (index === undefined) throw new Error(`no label ${label}`);
    return index;
  }

  #add(instruction: Instruction): this {
    this.#instructions.push(instruction);
    return this;
  }
}
