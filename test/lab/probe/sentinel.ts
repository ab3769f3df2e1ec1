/**
 * A packet sent behind others: when it is back, they have gone as far as they go, and silence is no matter of time any more.
 *
 * Between network namespaces of one machine, a link hands a packet on by putting it at the end of a queue, that of the processor which it
 * was sent on (netif_rx of veth and loopback, gro_cells of VXLAN). The next link does the same, and so do the answers of the kernels on the
 * way. A packet that goes to and fro behind another one is at the end of that queue twice for each trip; after more trips than any way
 * has links, the other one has arrived or was dropped. Senders move from processor to processor, so the sentinel goes from each.
 */
import { closeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { dissectIp } from './dissect.ts';
import { netnsPath } from './netns-path.ts';
import { ICMP, icmpEcho } from './packet.ts';
import { onEachProcessor } from './processors.ts';
import { openIcmp, receiveNow, sendToNow, waitReadable } from './socket.ts';

/** The longest way of a lab, from a container to one elsewhere and back, address resolution included, has fewer than 20 links. */
const TRIPS = 16;
/**
 * Turns of the event loop in which listeners of this process have read what had arrived, and have sent what they answer. A listener takes
 * one connection in each (uv__server_io of libuv), so that this is how many may call the same one at once.
 */
const TURNS = 100;
/** A sentinel that is lost ends the test; that one is late decides nothing. */
const LOST_AFTER_MS = 60_000;

export class Sentinel {
  readonly #fd: number;
  readonly #address: string;
  #sequence = 0;
  /** begins with the next turn of the event loop, for all who have asked until then */
  #next: Promise<void> | undefined;

  /** @param netns name of the namespace it starts from @param address whose kernel sends it back */
  constructor(netns: string, address: string) {
    this.#fd = openIcmp(netnsPath(netns));
    this.#address = address;
  }

  /**
   * Resolves once every packet that was sent before, by whatever process, has gone as far as it goes, and so have the answers to it: of
   * kernels, and of listeners in this process. @throws Error if the sentinel itself is lost
   */
  pass(): Promise<void> {
    this.#next ??= nextTurn().then(async () => {
      this.#next = undefined;
      // Once behind the packets, once behind what listeners answer.
      for (let round = 0; round < 2; round++) {
        onEachProcessor(() => this.#goToAndFro());
        for (let turn = 0; turn < TURNS; turn++) await nextTurn();
      }
    });
    return this.#next;
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Without a turn of the event loop in between, so that no process is started while this thread is bound to one processor. */
  #goToAndFro(): void {
    for (let trip = 0; trip < TRIPS; trip++) {
      this.#sequence = (this.#sequence + 1) & 0xffff;
      sendToNow(this.#fd, icmpEcho(8, IDENTIFIER, this.#sequence, Buffer.alloc(8)), {
        address: this.#address,
        port: 0,
      });
      const deadline = performance.now() + LOST_AFTER_MS;
      while (!this.#isBack()) {
        if (performance.now() > deadline) throw new Error(`the sentinel to ${this.#address} is lost`);
        waitReadable(this.#fd, 1000);
      }
    }
  }

  #isBack(): boolean {
    for (let next = receiveNow(this.#fd); next !== undefined; next = receiveNow(this.#fd)) {
      const answer = dissectIp(next.bytes)?.payload;
      if (answer === undefined || answer.length < 8 || answer[0] !== ICMP.echoReply) continue;
      if (answer.readUInt16BE(4) === IDENTIFIER && answer.readUInt16BE(6) === this.#sequence) return true;
    }
    return false;
  }
}

/** Of this process; others' answers come to the same namespace. */
const IDENTIFIER = (process.pid * 7) & 0xffff;
