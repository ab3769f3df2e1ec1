/** What the program that bounds pods' fragments keeps in maps of the kernel: keys and values as bytes, in the host's order. Pure. */
import { type IpAddress, ipToBytes, type MacAddress, macToBytes } from '../address.ts';

/**
 * Memory is counted by the epoch in which it was taken: four words of 64 bits, used in turns, each with its epoch in the upper half and
 * bytes in the lower. The current one and the two before it count, so nothing has to be taken back when the kernel gives a datagram up.
 */
export const EPOCHS = { kept: 4, counted: 3 } as const;
const ACCOUNT = EPOCHS.kept * 8;

/**
 * What a pod, its group and all pods have taken; of a pod also its fragments so far, those that were refused, its group, and whether it is
 * an overlay link: what pods of other nodes share.
 */
export const ACCOUNT_SIZE = ACCOUNT;
export const POD = {
  fragments: ACCOUNT,
  refused: ACCOUNT + 8,
  group: ACCOUNT + 16,
  shared: ACCOUNT + 20,
  size: ACCOUNT + 24,
} as const;
/** Key: link number, source, destination, identification and protocol. Value: next offset expected, bytes taken, epoch, fragment number. */
export const DATAGRAM = { key: 16, next: 0, bytes: 4, epoch: 8, fragment: 16, size: 24 } as const;
/** Key: link number, source, MAC in two words. */
export const SOURCE = { key: 16, size: 4 } as const;

/** Each a map. */
export const MAPS = ['pods', 'groups', 'pool', 'sources', 'datagrams'] as const;
export type MapName = (typeof MAPS)[number];

export function wordKey(value: number): Uint8Array {
  return words(value);
}

/** Whose datagrams a pod link brings. */
export interface PodSource {
  readonly mac: MacAddress;
  readonly address: IpAddress;
}

export function sourceKey(linkIndex: number, { mac, address }: PodSource): Uint8Array {
  const of = (bytes: Uint8Array) => bytes.reduce((value, byte) => value * 256 + byte, 0);
  const bytes = macToBytes(mac);
  return words(linkIndex, of(ipToBytes(address)), of(bytes.subarray(0, 4)), of(bytes.subarray(4)));
}

/** Of a pod that has taken nothing, or of one that goes on in another group. */
export function podValue(group: number, shared: boolean, before?: Uint8Array): Uint8Array {
  const value = before?.slice() ?? new Uint8Array(POD.size);
  const view = new DataView(value.buffer);
  view.setUint32(POD.group, group, true);
  view.setUint32(POD.shared, shared ? 1 : 0, true);
  return value;
}

export function groupOf(pod: Uint8Array): number {
  return new DataView(pod.buffer, pod.byteOffset).getUint32(POD.group, true);
}

export function refusedOf(pod: Uint8Array): number {
  return Number(new DataView(pod.buffer, pod.byteOffset).getBigUint64(POD.refused, true));
}

function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}
