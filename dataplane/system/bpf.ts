/** bpf(2), as far as programs that hang on links need it, and the maps in which they keep things. */
import koffi from 'koffi';
import { ERRNO, isErrno, KernelError } from '../errors.ts';
import { close } from './libc.ts';

const libc = koffi.load('libc.so.6');
const syscall = libc.func('long syscall(long, int, void *, unsigned int)');

/** include/uapi/asm-generic/unistd.h for arm64; arch/x86/entry/syscalls/syscall_64.tbl */
const SYS_BPF = process.arch === 'arm64' ? 280 : 321;
/** include/uapi/linux/bpf.h: enum bpf_cmd, enum bpf_prog_type */
const BPF_MAP_CREATE = 0;
const BPF_MAP_LOOKUP_ELEM = 1;
const BPF_MAP_UPDATE_ELEM = 2;
const BPF_MAP_DELETE_ELEM = 3;
const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_DETACH = 9;
const BPF_PROG_GET_FD_BY_ID = 13;
const BPF_OBJ_GET_INFO_BY_FD = 15;
const BPF_PROG_QUERY = 16;
const BPF_PROG_TYPE_SCHED_CLS = 3;
/** enum bpf_map_type, and flags of a map: memory for its entries is taken as they come */
export const MAP_TYPE = { hash: 1, array: 2, leastRecentlyUsed: 9 } as const;
const BPF_F_NO_PREALLOC = 1;
/** enum bpf_attach_type, since Linux 6.6; ahead of other programs */
const BPF_TCX_INGRESS = 46;
const BPF_F_BEFORE = 1 << 3;
const INSTRUCTION = 8;
/** char [BPF_OBJ_NAME_LEN], its end included */
const NAME = 16;
/** union bpf_attr: up to prog_name, and its parts for information, maps, their elements and links. u32 in order, u64 at multiples of 8 */
const LOAD_ATTR = 64;
const INFO_ATTR = 16;
const MAP_ATTR = 44;
const ELEMENT_ATTR = 32;
const ATTACH_ATTR = 32;
const QUERY_ATTR = 64;
/** struct bpf_prog_info up to name: u32 type, u32 id, u8 tag[8] at its beginning, name at its end */
const INFO = 80;
/** More than signals come in a row. */
const LOAD_TRIES = 100;
/** What hangs at one place of a link, at most: BPF_MPROG_MAX */
const PROGRAMS = 64;

/** A program that is in the kernel for as long as this is open or a link uses it. */
export interface LoadedProgram {
  readonly fd: number;
  /** by which the kernel lists it */
  readonly id: number;
  /** hexadecimal; the kernel gives the same to the same instructions */
  readonly tag: string;
  close(): void;
}

/** Keys and values of fixed sizes, in the kernel for as long as this is open or a program uses it. */
export interface BpfMap {
  readonly fd: number;
  /** @returns undefined where there is none of this key @throws KernelError */
  find(key: Uint8Array): Uint8Array | undefined;
  /** Whether or not there is one. @throws KernelError */
  put(key: Uint8Array, value: Uint8Array): void;
  /** Whether or not there is one. @throws KernelError */
  remove(key: Uint8Array): void;
  close(): void;
}

export interface BpfMapSpec {
  readonly type: keyof typeof MAP_TYPE;
  /** at most 15 characters; for tools */
  readonly name: string;
  /** bytes */
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
}

/** @throws KernelError */
export function createMap({ type, name, keySize, valueSize, maxEntries }: BpfMapSpec): BpfMap {
  const attributes = new DataView(new ArrayBuffer(MAP_ATTR));
  for (const [index, value] of [MAP_TYPE[type], keySize, valueSize, maxEntries].entries())
    attributes.setUint32(index * 4, value, true);
  if (type === 'hash') attributes.setUint32(16, BPF_F_NO_PREALLOC, true);
  putName(attributes, 28, name);
  const fd = bpf(BPF_MAP_CREATE, attributes, `make map ${name}`);
  const element = (command: number, what: string, key: Uint8Array, value?: Memory): boolean => {
    const at = memory(keySize);
    try {
      at.bytes.set(key);
      const ask = new DataView(new ArrayBuffer(ELEMENT_ATTR));
      ask.setUint32(0, fd, true);
      ask.setBigUint64(8, at.address, true);
      if (value !== undefined) ask.setBigUint64(16, value.address, true);
      bpf(command, ask, `${what} an entry of map ${name}`);
      return true;
    } catch (error) {
      if (isErrno(error, ERRNO.ENOENT)) return false;
      throw error;
    } finally {
      koffi.free(at.pointer);
    }
  };
  const withValue = <T>(use: (value: Memory) => T): T => {
    const value = memory(valueSize);
    try {
      return use(value);
    } finally {
      koffi.free(value.pointer);
    }
  };
  return {
    fd,
    find: (key) => withValue((at) => (element(BPF_MAP_LOOKUP_ELEM, 'look up', key, at) ? at.bytes.slice() : undefined)),
    put: (key, value) =>
      withValue((at) => {
        at.bytes.set(value);
        element(BPF_MAP_UPDATE_ELEM, 'put', key, at);
      }),
    remove: (key) => void element(BPF_MAP_DELETE_ELEM, 'remove', key),
    close: () => close(fd),
  };
}

/** Can programs hang at links by themselves, without a queueing discipline? Since Linux 6.6. */
export function canAttach(): boolean {
  try {
    programsAt(1);
    return true;
  } catch (error) {
    if (isErrno(error, ERRNO.EINVAL, ERRNO.ENOSYS)) return false;
    // There is such a call, but no such link.
    if (isErrno(error, ERRNO.ENODEV)) return true;
    throw error;
  }
}

/**
 * Hangs a program at a link's ingress, ahead of others, and takes those of the same name away that hung there before. It stays for as
 * long as the link does. @throws KernelError
 */
export function attachAtIngress(linkIndex: number, program: LoadedProgram, name: string): void {
  const before = programsAt(linkIndex);
  if (!before.includes(program.id)) {
    const attributes = attachment(linkIndex, program.fd);
    attributes.setUint32(12, BPF_F_BEFORE, true);
    bpf(BPF_PROG_ATTACH, attributes, `attach ${name} to link ${linkIndex}`);
  }
  for (const id of before) {
    if (id === program.id) continue;
    const ask = new DataView(new ArrayBuffer(INFO_ATTR));
    ask.setUint32(0, id, true);
    const fd = bpf(BPF_PROG_GET_FD_BY_ID, ask, 'open a classifier');
    try {
      if (informationAbout(fd).name === name)
        bpf(BPF_PROG_DETACH, attachment(linkIndex, fd), `detach ${name} from link ${linkIndex}`);
    } finally {
      close(fd);
    }
  }
}

function attachment(linkIndex: number, fd: number): DataView {
  const attributes = new DataView(new ArrayBuffer(ATTACH_ATTR));
  for (const [index, value] of [linkIndex, fd, BPF_TCX_INGRESS].entries()) attributes.setUint32(index * 4, value, true);
  return attributes;
}

/** Ids of what hangs at a link's ingress. */
function programsAt(linkIndex: number): readonly number[] {
  const ids = memory(PROGRAMS * 4);
  try {
    const ask = new DataView(new ArrayBuffer(QUERY_ATTR));
    ask.setUint32(0, linkIndex, true);
    ask.setUint32(4, BPF_TCX_INGRESS, true);
    ask.setBigUint64(16, ids.address, true);
    ask.setUint32(24, PROGRAMS, true);
    bpf(BPF_PROG_QUERY, ask, `list programs at link ${linkIndex}`);
    const found = new DataView(ids.bytes.buffer, ids.bytes.byteOffset);
    return Array.from({ length: ask.getUint32(24, true) }, (_, index) => found.getUint32(index * 4, true));
  } catch (error) {
    if (isErrno(error, ERRNO.ENOENT)) return [];
    throw error;
  } finally {
    koffi.free(ids.pointer);
  }
}

/**
 * Loads a classifier.
 * @param program an array of struct bpf_insn
 * @param name at most 15 characters, for tools
 * @throws KernelError, ENOSYS or EPERM where the kernel has no such call for us
 */
export function loadClassifier(program: Uint8Array, name = ''): LoadedProgram {
  const instructions = memory(program.length);
  instructions.bytes.set(program);
  const license = memory(1);
  try {
    return load(program.length / INSTRUCTION, { instructions, license }, name);
  } finally {
    for (const { pointer } of [instructions, license]) koffi.free(pointer);
  }
}

function load(count: number, at: Readonly<Record<'instructions' | 'license', Memory>>, name: string): LoadedProgram {
  const attributes = new DataView(new ArrayBuffer(LOAD_ATTR));
  attributes.setUint32(0, BPF_PROG_TYPE_SCHED_CLS, true);
  attributes.setUint32(4, count, true);
  attributes.setBigUint64(8, at.instructions.address, true);
  attributes.setBigUint64(16, at.license.address, true);
  putName(attributes, 48, name);
  const fd = loadUninterrupted(attributes);
  try {
    const { id, tag } = informationAbout(fd);
    return { fd, id, tag, close: () => close(fd) };
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** The kernel gives up its check of a program when a signal comes, such as that a child has ended. */
function loadUninterrupted(attributes: DataView): number {
  for (let left = LOAD_TRIES; ; left--) {
    try {
      return bpf(BPF_PROG_LOAD, attributes, 'load a classifier');
    } catch (error) {
      if (left <= 1 || !isErrno(error, ERRNO.EAGAIN)) throw error;
    }
  }
}

function informationAbout(fd: number): { readonly id: number; readonly tag: string; readonly name: string } {
  const info = memory(INFO);
  try {
    const ask = new DataView(new ArrayBuffer(INFO_ATTR));
    ask.setUint32(0, fd, true);
    ask.setUint32(4, INFO, true);
    ask.setBigUint64(8, info.address, true);
    bpf(BPF_OBJ_GET_INFO_BY_FD, ask, 'ask about a classifier');
    const text = (from: number, to: number, as: 'hex' | 'latin1') =>
      Buffer.from(info.bytes.subarray(from, to)).toString(as);
    const id = new DataView(info.bytes.buffer, info.bytes.byteOffset).getUint32(4, true);
    return { id, tag: text(8, 16, 'hex'), name: text(INFO - NAME, INFO, 'latin1').replace(/\0.*$/, '') };
  } finally {
    koffi.free(info.pointer);
  }
}

function putName(attributes: DataView, offset: number, name: string): void {
  new Uint8Array(attributes.buffer).set(Buffer.from(name, 'latin1').subarray(0, NAME - 1), offset);
}

/** @param what is done */
function bpf(command: number, attributes: DataView, what: string): number {
  const result = Number(syscall(SYS_BPF, command, new Uint8Array(attributes.buffer), attributes.byteLength));
  if (result < 0) throw new KernelError('bpf', what, koffi.errno());
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
