/**
 * Deletes links away from the main thread, many in one go. The kernel waits 16 to 20 ms for grace periods at each deletion, however many
 * links it takes: so what is asked for while one is under way waits for the next, and goes as one group of links.
 */
import { randomInt } from 'node:crypto';
import { encodeDelLink, encodeDelLinkGroup, encodeSetLink } from '../codecs/rtnetlink/link.ts';
import { RtBatch, Rtnetlink } from '../codecs/rtnetlink/rtnetlink.ts';
import { ERRNO, type KernelError } from '../errors.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { linkIndex } from '../system/libc.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../system/netlink-socket.ts';

interface Request {
  readonly name: string;
  readonly index: number;
  readonly resolve: (existed: boolean) => void;
  readonly reject: (error: unknown) => void;
}

export class LinkDeleter {
  /** for what is quick: putting links into a group */
  readonly #rtnetlink: Rtnetlink;
  readonly #onPort: (portId: number) => void;
  #waiting: Request[] = [];
  #working = false;

  /** @param onPort told of the address of each socket that deletes, before it does */
  constructor(rtnetlink: Rtnetlink, onPort: (portId: number) => void) {
    this.#rtnetlink = rtnetlink;
    this.#onPort = onPort;
  }

  /** @returns whether there was such a link; the link is gone then @throws KernelError naming it */
  delete(name: string): Promise<boolean> {
    const index = linkIndex(name);
    if (index === undefined) return Promise.resolve(false);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ name, index, resolve, reject });
      if (!this.#working) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#working = true;
    // What is asked for in the same turn goes together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) await this.#deleteAll(this.#waiting.splice(0));
    this.#working = false;
  }

  async #deleteAll(requests: readonly Request[]): Promise<void> {
    try {
      const errors = await this.#send(requests.length === 1 ? deletions(requests) : this.#groupDeletion(requests));
      for (const [position, request] of requests.entries()) {
        const error = errors.get(requests.length === 1 ? position : 0);
        if (error === undefined) request.resolve(true);
        else request.reject(error);
      }
    } catch (error) {
      for (const { reject } of requests) reject(error);
    }
  }

  /** Puts the links into a group of their own, in which no rule lets anything pass. */
  #groupDeletion(requests: readonly Request[]): RtBatch {
    // A number that no other links have: every link of the group goes.
    const group = 0x7e000000 + randomInt(0x1000000);
    const marking = new RtBatch();
    for (const { name, index } of requests) {
      marking.add('RTM_SETLINK', `link ${name}`, (out) => encodeSetLink(out, index, { group }), [ERRNO.ENODEV]);
    }
    this.#rtnetlink.sendAll(marking);
    const names = requests.map(({ name }) => name).join(', ');
    return new RtBatch().add('RTM_DELLINK', `links ${names}`, (out) => encodeDelLinkGroup(out, group), [ERRNO.ENODEV]);
  }

  /** On another thread, and on a socket of its own: the shared one must not wait. */
  async #send(batch: RtBatch): Promise<Map<number, KernelError>> {
    const socket = new NetlinkSocket(NETLINK_ROUTE);
    this.#onPort(socket.portId);
    try {
      return await new Rtnetlink(new NetlinkConnection(socket)).sendAsync(batch);
    } finally {
      socket.close();
    }
  }
}

function deletions(requests: readonly Request[]): RtBatch {
  const batch = new RtBatch();
  for (const { name, index } of requests)
    batch.add('RTM_DELLINK', `link ${name}`, (out) => encodeDelLink(out, index), [ERRNO.ENODEV]);
  return batch;
}
