/**
 * What may come in by one pod's link, as a program for its ingress: before routing, before fragments are put together, before iptables.
 * Pure. @see net/sched/cls_bpf.c: offset 0 is the Ethernet header
 */
import { type IpAddress, ipToBytes, type MacAddress, macToBytes } from '../../address.ts';
import { ByteWriter } from '../../netlink/bytes.ts';
import { type Assembled, assemble, IF_EQUAL, type Instruction, LOAD_HALF, LOAD_WORD, RETURN } from './classic-bpf.ts';

/** include/uapi/linux/pkt_cls.h: what other filters say counts, and without any it goes on; drop */
const TC_ACT_UNSPEC = 0xffff_ffff;
const TC_ACT_SHOT = 2;
const ETH_P_IP = 0x0800;
const SOURCE_MAC = 6;
const ETHERTYPE = 12;
const SOURCE_IP = 14 + 12;

/** A source that may come out of a pod. */
export interface LinkSource {
  readonly mac: MacAddress;
  /** IPv4 */
  readonly address: IpAddress;
}

/** Passes IPv4 packets from one of these, and nothing else. @returns an array of struct sock_filter */
export function linkProgram(sources: readonly LinkSource[]): Uint8Array {
  const one = ({ mac, address }: LinkSource, index: number): Instruction[] => {
    const bytes = macToBytes(mac);
    const other = index + 1 < sources.length ? `source ${index + 1}` : 'drop';
    return [
      { at: `source ${index}`, code: LOAD_WORD, k: SOURCE_MAC },
      { code: IF_EQUAL, k: number(bytes.subarray(0, 4)), no: other },
      { code: LOAD_HALF, k: SOURCE_MAC + 4 },
      { code: IF_EQUAL, k: number(bytes.subarray(4)), no: other },
      { code: LOAD_WORD, k: SOURCE_IP },
      { code: IF_EQUAL, k: number(ipToBytes(address)), yes: 'pass', no: other },
    ];
  };
  return bytesOf(
    assemble([
      { code: LOAD_HALF, k: ETHERTYPE },
      { code: IF_EQUAL, k: ETH_P_IP, no: 'drop' },
      ...sources.flatMap(one),
      { at: 'drop', code: RETURN, k: TC_ACT_SHOT },
      { at: 'pass', code: RETURN, k: TC_ACT_UNSPEC },
    ]),
  );
}

function bytesOf(program: readonly Assembled[]): Uint8Array {
  const out = new ByteWriter(program.length * 8);
  for (const { code, yes, no, k } of program) out.u16(code).u8(yes).u8(no).u32(k);
  return out.finish();
}

function number(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}
