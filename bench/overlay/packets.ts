/**
 * Single packets from a near end to a far end. As all of it is on one machine, the whole way is done before the sender's call returns: out
 * of the container, through its node, over the fabric, through the other node and in.
 */
import { closeSync } from 'node:fs';
import { withNetns } from '../../dataplane/system/netns.ts';
import { netnsPath } from '../../test/lab/probe/netns-path.ts';
import { openBound } from '../../test/lab/probe/socket.ts';
import { DISCARD_PORT, udpFrame } from '../packet/udp-frame.ts';
import { FrameSender, FrameTrain, packetsReceived } from '../system/frame-train.ts';
import type { Way } from './ways.ts';

const LINK = 'eth0';
/** Frames in one call. */
const BATCH = 128;

export class PacketStream {
  readonly #way: Way;
  readonly #train: FrameTrain;
  readonly #sender: FrameSender;
  /** takes what arrives until it is full, and is not read */
  readonly #sink: number;

  /** @throws KernelError, SocketError */
  constructor(way: Way) {
    const { near, far, nextHopMac } = way;
    const ends = { source: near.address, destination: far.address, sourceMac: near.mac, destinationMac: nextHopMac };
    this.#way = way;
    this.#train = new FrameTrain([udpFrame(ends)], new Array<number>(BATCH).fill(0));
    this.#sender = new FrameSender({ run: (work) => withNetns(netnsPath(near.netns), work) }, LINK);
    this.#sink = openBound(netnsPath(far.netns), 'udp', { address: far.address, port: DISCARD_PORT });
  }

  /** @returns microseconds a packet, of each of so many calls @throws Error unless every packet arrived */
  send(calls: number): number[] {
    const before = this.#arrived();
    const times = Array.from({ length: calls }, () => {
      const started = performance.now();
      this.#sender.send(this.#train, 0, BATCH);
      return ((performance.now() - started) * 1000) / BATCH;
    });
    const arrived = this.#arrived() - before;
    if (arrived < calls * BATCH) throw new Error(`${this.#way.name}: ${arrived} of ${calls * BATCH} packets arrived`);
    return times;
  }

  #arrived(): number {
    return withNetns(netnsPath(this.#way.far.netns), () => packetsReceived(LINK));
  }

  close(): void {
    this.#sender.close();
    closeSync(this.#sink);
  }
}
