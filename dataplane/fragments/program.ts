/**
 * Bounds the memory in which the node's kernel keeps pods' datagrams of which not all fragments have come. That memory is one for all
 * tenants of a node, and each datagram begun holds its part until it is complete or the kernel gives it up. A program at the ingress of
 * every pod link counts what a pod, its group and all pods hold, and drops a fragment for which `pod + group + all` would be too much:
 * one group never holds more than half, so the next one always finds room. What is complete counts no more. Pure.
 *
 * Complete is only what surely is: fragments of one datagram leave a pod in order, so a datagram is watched by the offset it has to go on
 * at. Others pass as well, but count until the kernel has given them up for sure. The kernel must take every fragment as it is counted
 * here, so what it would not take is dropped. @see net/ipv4/ip_fragment.c, net/ipv4/inet_fragment.c
 */
import { BpfProgram, type Place } from './extended-bpf.ts';
import {
  at,
  CONTEXT,
  describe,
  dropWhatTheKernelWould,
  IP,
  IP_MF,
  IP_OFFSET,
  KEY,
  OWN,
  SKB,
  stack,
} from './fragment.ts';
import { DATAGRAM, EPOCHS, type MapName, POD } from './layout.ts';

export interface FragmentBounds {
  /** memory that pods may hold, all together */
  readonly bytes: number;
  /** for how long the kernel waits for the rest of a datagram */
  readonly seconds: number;
}

/** include/uapi/linux/pkt_cls.h: what other programs at the link say counts; drop. TCX_NEXT and TCX_DROP are the same numbers. */
const TC_ACT_UNSPEC = -1;
const TC_ACT_SHOT = 2;
/** As a little-endian machine reads what is in the order of the network. */
const ETH_P_IP = 0x0008;
const VLAN_TYPES = [0x0081, 0xa888] as const;
const BPF_NOEXIST = 1;

/** A datagram that is not watched any more: no fragment begins there. */
const LOST = -1;
/**
 * The kernel forgets the first half of a datagram if its sender has sent 64 other fragments before the second (ipfrag_max_dist).
 * It counts while others are on their way, so not quite as this program does. What comes by an overlay link is of many senders, each of
 * which its node has sent on as a whole.
 */
const DISTANCE = 32;
/** Timers of this length may be late by an eighth (kernel/time/timer.c). */
const LATE = 1.125;
const SECOND = 1_000_000_000 / 2 ** 20;

/** @param maps descriptors @returns an array of struct bpf_insn, for a link's ingress */
export function fragmentProgram(maps: Readonly<Record<MapName, number>>, bounds: FragmentBounds): Uint8Array {
  const p = new BpfProgram();
  const epochLength = Math.max(Math.ceil(((bounds.seconds * LATE + 1) * SECOND) / (EPOCHS.counted - 1)), 1);
  p.compute(CONTEXT, '=', { of: 1 }).load(0, SKB.protocol);
  // Behind two tags the kernel would still find the packet that is not looked at here.
  for (const type of VLAN_TYPES) p.when(0, '==', type, 'drop');
  p.when(0, '!=', ETH_P_IP, 'pass')
    .packet(IP + 6, 16)
    .when(0, '&', IP_MF | IP_OFFSET, 'fragment')
    .label('pass')
    .compute(0, '=', TC_ACT_UNSPEC)
    .exit()
    .label('refuse')
    .compute(1, '=', 1)
    .addTo(at(7, POD.refused, 64), 1)
    .label('drop')
    .compute(0, '=', TC_ACT_SHOT)
    .exit();
  p.label('fragment').compute(9, '=', { of: 0 });
  p.load(0, SKB.linkIndex)
    .store(stack(KEY.datagram, 32), 0)
    .store(stack(KEY.source, 32), 0)
    .store(stack(KEY.word, 32), 0);
  lookUp(p, maps.pods, KEY.word).when(0, '==', 0, 'drop').compute(7, '=', { of: 0 });
  dropWhatTheKernelWould(p);
  describe(p);
  p.call('nanoseconds').compute(0, '>>', 20).compute(0, '/', epochLength).store(OWN.epoch, 0);
  p.compute(1, '=', 1)
    .addTo(at(7, POD.fragments, 64), 1)
    .load(1, at(7, POD.fragments, 64))
    .store(OWN.fragment, 1);
  p.load(1, at(7, POD.group, 32)).store(stack(KEY.word, 32), 1);
  lookUp(p, maps.groups, KEY.word).when(0, '==', 0, 'refuse').store(OWN.group, 0);
  p.compute(1, '=', 0).store(stack(KEY.word, 32), 1);
  lookUp(p, maps.pool, KEY.word).when(0, '==', 0, 'refuse').store(OWN.pool, 0);
  // What is not the pod's own is not complete by a fragment that is, and the other way round.
  // Of an overlay link rules know the senders, and the nodes that they are on.
  p.load(1, at(7, POD.shared, 32)).when(1, '!=', 0, 'whose');
  lookUp(p, maps.sources, KEY.source)
    .compute(1, '=', 0)
    .when(0, '==', 0, 'whose')
    .compute(1, '=', 1)
    .label('whose')
    .store(OWN.trusted, 1);
  follow(p, maps.datagrams);
  judge(p, bounds.bytes);
  remember(p, maps.datagrams);
  return p.assemble();
}

function lookUp(p: BpfProgram, map: number, key: number): BpfProgram {
  return p.map(1, map).address(2, key).call('lookUp');
}

/** Register 8: the datagram as it is known, or 0. Register 9: does the fragment go on where it should? If it is the last one, it passes. */
function follow(p: BpfProgram, datagrams: number): void {
  lookUp(p, datagrams, KEY.datagram)
    .compute(9, '=', 0)
    .compute(8, '=', { of: 0 })
    .when(8, '==', 0, 'judge')
    .load(0, OWN.epoch)
    .load(1, at(8, DATAGRAM.epoch, 64))
    .compute(0, '-', { of: 1 })
    .when(0, '<', EPOCHS.counted, 'known');
  // The kernel has given it up long ago: another of the same name begins.
  forget(p, datagrams).compute(8, '=', 0).go('judge');
  p.label('known')
    .load(0, at(8, DATAGRAM.next, 32))
    .load(1, OWN.offset)
    .when(0, '!=', { of: 1 }, 'judge')
    .load(0, OWN.trusted)
    .when(0, '==', 0, 'judge')
    .load(1, at(7, POD.shared, 32))
    .when(1, '!=', 0, 'near')
    .load(0, OWN.fragment)
    .load(1, at(8, DATAGRAM.fragment, 64))
    .compute(0, '-', { of: 1 })
    .when(0, '>', DISTANCE, 'judge')
    .label('near')
    .compute(9, '=', 1)
    .load(0, OWN.more)
    .when(0, '!=', 0, 'judge');
  p.load(1, at(8, DATAGRAM.bytes, 32))
    .store(OWN.bytes, 1)
    .load(9, at(8, DATAGRAM.epoch, 64));
  // Of two that complete the same one, on two processors, one counts.
  forget(p, datagrams)
    .compute(8, '=', { of: 0 })
    .compute(0, '=', { of: 9 })
    .compute(9, '=', 0)
    .when(8, '==', 0, 'complete')
    .compute(8, '=', 0)
    .go('judge');
  p.label('complete').load(4, OWN.bytes).compute(3, '=', 0).compute(3, '-', { of: 4 });
  eachAccount(p, 'given back', (label) =>
    word(p)
      .compute(4, '=', { of: 0 })
      .compute(4, '<<', 32)
      .compute(1, '>>', 32)
      .compute(1, '<<', 32)
      .when(1, '!=', { of: 4 }, label)
      .addTo(at(2, 0, 64), 3)
      .label(label),
  );
  p.go('pass').label('judge');
}

function forget(p: BpfProgram, datagrams: number): BpfProgram {
  return p.map(1, datagrams).address(2, KEY.datagram).call('delete');
}

/** What it takes to pass, and what is taken then. */
function judge(p: BpfProgram, bytes: number): void {
  p.load(5, OWN.cost);
  eachAccount(p, 'held', (label) => {
    p.load(0, OWN.epoch);
    for (let back = 0; back < EPOCHS.counted; back++) {
      const next = `${label}, ${back} epochs ago`;
      p.compute(3, '=', { of: 2 });
      word(p)
        .compute(2, '=', { of: 3 })
        .compute(3, '=', { of: 1 })
        .compute(3, '>>', 32)
        .compute(4, '=', { of: 0 })
        .compute(4, '<<', 32)
        .compute(4, '>>', 32)
        .when(3, '!=', { of: 4 }, next)
        .compute(1, '<<', 32)
        .compute(1, '>>', 32)
        .compute(5, '+', { of: 1 })
        .label(next)
        .compute(0, '-', 1);
    }
  });
  p.when(5, '>', Math.min(bytes, 0x7fff_ffff), 'refuse');
  p.load(0, OWN.epoch).load(3, OWN.cost);
  eachAccount(p, 'taken', (label) =>
    word(p)
      .compute(4, '=', { of: 0 })
      .compute(4, '<<', 32)
      .compute(1, '>>', 32)
      .compute(1, '<<', 32)
      .when(1, '==', { of: 4 }, `${label}, not the first`)
      .compute(4, '|', { of: 3 })
      .store(at(2, 0, 64), 4)
      .go(label)
      .label(`${label}, not the first`)
      .addTo(at(2, 0, 64), 3)
      .label(label),
  );
}

/** For the pod, its group and all: register 2 has the address of the account. @param body given a label of its own */
function eachAccount(p: BpfProgram, what: string, body: (label: string) => unknown): void {
  p.compute(2, '=', { of: 7 });
  body(`${what} of the pod`);
  p.load(2, OWN.group);
  body(`${what} of the group`);
  p.load(2, OWN.pool);
  body(`${what} of all`);
}

/** Register 1: the word of an account, in register 2, for the epoch in register 0; register 2 points to it then. */
function word(p: BpfProgram): BpfProgram {
  return p
    .compute(1, '=', { of: 0 })
    .compute(1, '&', EPOCHS.kept - 1)
    .compute(1, '<<', 3)
    .compute(2, '+', { of: 1 })
    .load(1, at(2, 0, 64));
}

/** Where the datagram has to go on, and what it holds. */
function remember(p: BpfProgram, datagrams: number): void {
  p.load(1, OWN.cost).load(2, OWN.epoch).load(3, OWN.fragment).load(0, OWN.offset).load(4, OWN.payload);
  p.compute(0, '+', { of: 4 }).when(8, '==', 0, 'begin').when(9, '!=', 0, 'go on');
  p.compute(0, '=', LOST)
    .store(at(8, DATAGRAM.next, 32), 0)
    .go('pass');
  p.label('go on')
    .store(at(8, DATAGRAM.next, 32), 0)
    .store(at(8, DATAGRAM.fragment, 64), 3)
    .load(5, at(8, DATAGRAM.epoch, 64))
    .when(5, '!=', { of: 2 }, 'in a new epoch')
    .load(5, at(8, DATAGRAM.bytes, 32))
    .compute(1, '+', { of: 5 })
    .label('in a new epoch')
    // What it took in another one counts there to the end.
    .store(at(8, DATAGRAM.bytes, 32), 1)
    .store(at(8, DATAGRAM.epoch, 64), 2)
    .go('pass');
  const value = (offset: number, width: Place['width']) => stack(KEY.value + offset, width);
  p.label('begin')
    .store(value(DATAGRAM.bytes, 32), 1)
    .store(value(DATAGRAM.epoch, 64), 2)
    .store(value(DATAGRAM.fragment, 64), 3);
  // Only from its beginning can it be watched.
  p.load(1, OWN.offset)
    .when(1, '!=', 0, 'lost')
    .load(1, OWN.trusted)
    .when(1, '!=', 0, 'watched')
    .label('lost')
    .compute(0, '=', LOST)
    .label('watched')
    .store(value(DATAGRAM.next, 32), 0)
    .map(1, datagrams)
    .address(2, KEY.datagram)
    .address(3, KEY.value)
    .compute(4, '=', BPF_NOEXIST)
    .call('update')
    .go('pass');
}
