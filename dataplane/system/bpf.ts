/** bpf(2), as far as a program that is loaded once and hangs on links needs it. No maps, no helpers. */
import koffi from 'koffi';
import { KernelError } from '../errors.ts';
import { close } from './libc.ts';

const libc = koffi.load('libc.so.6');
const syscall = libc.func('long syscall(long, int, void *, unsigned int)');

/** include/uapi/asm-generic/unistd.h for arm64; arch/x86/entry/syscalls/syscall_64.tbl */
const SYS_BPF = process.arch === 'arm64' ? 280 : 321;
/** include/uapi/linux/bpf.h: enum bpf_cmd, enum bpf_prog_type */
const BPF_PROG_LOAD = 5;
const BPF_OBJ_GET_INFO_BY_FD = 15;
const BPF_PROG_TYPE_SCHED_CLS = 3;
const INSTRUCTION = 8;
/** union bpf_attr up to prog_flags, and its part for information; struct bpf_prog_info up to tag: u32 type, u32 id, u8 tag[8] */
const LOAD_ATTR = 48;
const INFO_ATTR = 16;
const INFO = 16;

/** A program that is in the kernel for as long as this is open or a link uses it. */
export interface LoadedProgram {
  readonly fd: number;
  /** hexadecimal; the kernel gives the same to the same instructions */
  readonly tag: string;
  close(): void;
}

/**
 * Loads a classifier.
 * @param program an array of struct bpf_insn
 * @throws KernelError, ENOSYS or EPERM where the kernel has no such call for us
 */
export function loadClassifier(program: Uint8Array): LoadedProgram {
  const instructions = memory(program.length);
  instructions.bytes.set(program);
  const license = memory(1);
  const info = memory(INFO);
  try {
    return load(program.length / INSTRUCTION, { instructions, license, info });
  } finally {
    for (const { pointer } of [instructions, license, info]) koffi.free(pointer);
  }
}

function load(count: number, at: Readonly<Record<'instructions' | 'license' | 'info', Memory>>): LoadedProgram {
  const attributes = new DataView(new ArrayBuffer(LOAD_ATTR));
  attributes.setUint32(0, BPF_PROG_TYPE_SCHED_CLS, true);
  attributes.setUint32(4, count, true);
  attributes.setBigUint64(8, at.instructions.address, true);
  attributes.setBigUint64(16, at.license.address, true);
  const fd = bpf(BPF_PROG_LOAD, attributes, 'load');
  const ask = new DataView(new ArrayBuffer(INFO_ATTR));
  ask.setUint32(0, fd, true);
  ask.setUint32(4, INFO, true);
  ask.setBigUint64(8, at.info.address, true);
  try {
    bpf(BPF_OBJ_GET_INFO_BY_FD, ask, 'ask about');
  } catch (error) {
    close(fd);
    throw error;
  }
  return { fd, tag: Buffer.from(at.info.bytes.subarray(8, 16)).toString('hex'), close: () => close(fd) };
}

function bpf(command: number, attributes: DataView, what: string): number {
  const result = Number(syscall(SYS_BPF, command, new Uint8Array(attributes.buffer), attributes.byteLength));
  if (result < 0) throw new KernelError('bpf', `${what} a classifier`, koffi.errno());
  return result;
}

/** What the kernel can be pointed to. */
interface Memory {
  readonly pointer: unknown;
  readonly bytes: Uint8Array;
  readonly address: bigint;
}

/** Zeroed; to be freed. */
function memory(size: number): Memory {
  const pointer: unknown = koffi.alloc('uint8_t', size);
  const bytes = new Uint8Array(koffi.view(pointer, size));
  bytes.fill(0);
  return { pointer, bytes, address: BigInt(koffi.address(pointer)) };
}
