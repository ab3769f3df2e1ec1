/**
 * One fragment, as the program sees it: what of it the kernel would not take is dropped, the rest is written down on the stack, so that
 * other parts of the program need not look into the packet. Pure. @see net/ipv4/ip_input.c, ip_rcv_core; net/ipv4/ip_fragment.c
 */
import { type BpfProgram, type Place, type Register, STACK } from './extended-bpf.ts';

const PACKET_HOST = 0;
export const IP_MF = 0x2000;
export const IP_OFFSET = 0x1fff;
const MAX_PAYLOAD = 65_535 - 20;
/** In a frame: the MAC it is from, and struct iphdr. */
const SOURCE_MAC = 6;
export const IP = 14;

/** The register that has the packet's context. */
export const CONTEXT = 6;
const field = (offset: number): Place => ({ base: CONTEXT, offset, width: 32 });
/** struct __sk_buff */
export const SKB = {
  length: field(0),
  type: field(4),
  protocol: field(16),
  vlan: field(20),
  linkIndex: field(40),
  segmentSize: field(176),
} as const;

export const stack = (offset: number, width: Place['width'] = 64): Place => ({ base: STACK, offset, width });
/** Keys are written in part before they are needed whole. */
export const KEY = { datagram: -96, source: -112, word: -144, value: -136 } as const;
export const OWN = {
  epoch: stack(-8),
  fragment: stack(-16),
  offset: stack(-24),
  payload: stack(-32),
  cost: stack(-40),
  more: stack(-48),
  bytes: stack(-56),
  group: stack(-72),
  pool: stack(-80),
  trusted: stack(-152),
} as const;
export const at = (base: Register, offset: number, width: Place['width']): Place => ({ base, offset, width });

/** So that a fragment which completes a datagram here does so in the kernel. Register 9 has flags and offset. */
export function dropWhatTheKernelWould(p: BpfProgram): void {
  for (const [place, value] of [
    [SKB.type, PACKET_HOST],
    [SKB.vlan, 0],
    // Made by no kernel for fragments: many packets in one.
    [SKB.segmentSize, 0],
  ] as const)
    p.load(0, place).when(0, '!=', value, 'refuse');
  // Options, and a hop too few, are what rules drop later.
  p.packet(IP, 8).when(0, '!=', 0x45, 'refuse');
  p.packet(IP + 8, 8).when(0, '<', 2, 'refuse');
  p.compute(8, '=', 0);
  for (let offset = 0; offset < 20; offset += 2) p.packet(IP + offset, 16).compute(8, '+', { of: 0 });
  for (const _ of ['carry', 'carry of the carry'])
    p.compute(0, '=', { of: 8 }).compute(0, '>>', 16).compute(8, '&', 0xffff).compute(8, '+', { of: 0 });
  p.when(8, '!=', 0xffff, 'refuse');
}

/** Into the stack: length, place and cost of the fragment, and the keys it is known by. */
export function describe(p: BpfProgram): void {
  p.packet(IP + 2, 16)
    .compute(8, '=', { of: 0 })
    .load(1, SKB.length)
    .compute(1, '-', IP)
    .when(8, '>', { of: 1 }, 'refuse')
    .when(8, '<=', 20, 'refuse')
    .compute(8, '-', 20)
    .store(OWN.payload, 8)
    .compute(0, '=', { of: 9 })
    .compute(0, '&', IP_MF)
    .store(OWN.more, 0)
    .when(0, '==', 0, 'placed')
    // The kernel would cut off what is no whole unit.
    .when(8, '&', 7, 'refuse')
    .label('placed')
    .compute(9, '&', IP_OFFSET)
    .compute(9, '<<', 3)
    .store(OWN.offset, 9)
    .compute(9, '+', { of: 8 })
    .when(9, '>', MAX_PAYLOAD, 'refuse');
  // What a packet buffer of so many bytes takes with all that belongs to it, and the datagram's own entry: never less than it is.
  p.load(1, SKB.length)
    .compute(0, '=', 1_536)
    .when(1, '<=', 512, 'weighed')
    .compute(0, '=', 2_560)
    .when(1, '<=', 1_536, 'weighed')
    .compute(0, '=', { of: 1 })
    .compute(0, '<<', 1)
    .compute(0, '+', 1_536)
    .label('weighed')
    .store(OWN.cost, 0);
  p.packet(IP + 12, 32)
    .store(stack(KEY.datagram + 4, 32), 0)
    .store(stack(KEY.source + 4, 32), 0)
    .packet(IP + 16, 32)
    .store(stack(KEY.datagram + 8, 32), 0)
    .packet(IP + 4, 16)
    .compute(8, '=', { of: 0 })
    .compute(8, '<<', 8)
    .packet(IP + 9, 8)
    .compute(8, '|', { of: 0 })
    .store(stack(KEY.datagram + 12, 32), 8);
  p.packet(SOURCE_MAC, 32)
    .store(stack(KEY.source + 8, 32), 0)
    .packet(SOURCE_MAC + 4, 16)
    .store(stack(KEY.source + 12, 32), 0);
}
