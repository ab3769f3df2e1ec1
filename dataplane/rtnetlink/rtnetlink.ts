/**
 * The routing family over a connection: dumps as lists, changes queued and sent together. rtnetlink has no transaction: of
 * several changes each succeeds or fails by itself, and the caller is told which.
 */
import { ERRNO, isErrno, type KernelError } from '../errors.ts';
import { ByteWriter } from '../netlink/bytes.ts';
import type { NetlinkConnection } from '../netlink/connection.ts';
import type { NetlinkMessage } from '../netlink/message.ts';
import { decodeAddress, encodeGetAddresses, type InterfaceAddress } from './ifaddr.ts';
import { decodeLink, encodeGetLinks, type Link } from './link.ts';
import { decodeNeighbour, encodeGetFdb, encodeGetNeighbours, type Neighbour } from './neighbour.ts';
import { decodeRoute, encodeGetRoutes, type Route } from './route.ts';

/** Changes written one after the other, each with a name for errors. */
export class RtBatch {
  readonly out = new ByteWriter(1024);
  readonly #named: { readonly op: string; readonly object: string; readonly ignore: readonly number[] }[] = [];

  /**
   * @param op such as `RTM_NEWROUTE`
   * @param object such as `route 10.0.0.0/24 dev tnt42`
   * @param encode writes exactly one message that asks for an acknowledgement
   * @param ignore errno values that mean it is already as wanted
   */
  add(op: string, object: string, encode: (out: ByteWriter) => void, ignore: readonly number[] = []): this {
    encode(this.out);
    this.#named.push({ op, object, ignore });
    return this;
  }

  get size(): number {
    return this.#named.length;
  }

  describe(index: number): { readonly op: string; readonly object: string } {
    return this.#named[index] ?? { op: 'rtnetlink', object: `message ${index}` };
  }

  ignores(index: number, error: KernelError): boolean {
    return this.#named[index]?.ignore.includes(error.errno) ?? false;
  }
}

export class Rtnetlink {
  readonly #connection: NetlinkConnection;

  constructor(connection: NetlinkConnection) {
    this.#connection = connection;
  }

  /** Sends what the batch holds. @returns failures by position @throws KernelError when replies were lost */
  send(batch: RtBatch): Map<number, KernelError> {
    if (batch.size === 0) return new Map();
    const errors = this.#connection.requestEach(batch.out.finish(), (index) => batch.describe(index));
    for (const [index, error] of errors) if (batch.ignores(index, error)) errors.delete(index);
    return errors;
  }

  /** As {@link send}, throwing the first failure. */
  sendAll(batch: RtBatch): void {
    for (const error of this.send(batch).values()) throw error;
  }

  links(): Link[] {
    return this.#dump('RTM_GETLINK', encodeGetLinks).map(({ payload }) => decodeLink(payload));
  }

  addresses(): InterfaceAddress[] {
    return this.#dump('RTM_GETADDR', encodeGetAddresses).map(({ payload }) => decodeAddress(payload));
  }

  routes(family: 4 | 6): Route[] {
    return this.#dump('RTM_GETROUTE', (out) => encodeGetRoutes(out, family)).flatMap(
      ({ payload }) => decodeRoute(payload) ?? [],
    );
  }

  neighbours(): Neighbour[] {
    return this.#dump('RTM_GETNEIGH', encodeGetNeighbours).map(({ payload }) => decodeNeighbour(payload));
  }

  fdb(): Neighbour[] {
    return this.#dump('RTM_GETNEIGH', encodeGetFdb).map(({ payload }) => decodeNeighbour(payload));
  }

  close(): void {
    this.#connection.close();
  }

  #dump(op: string, encode: (out: ByteWriter) => void): NetlinkMessage[] {
    const out = new ByteWriter(64);
    encode(out);
    return this.#connection.dump(out.finish(), () => ({ op, object: 'dump' }));
  }
}

/** Does this say that the object was not there? */
export function isAbsent(error: unknown): boolean {
  return isErrno(error, ERRNO.ENOENT, ERRNO.ESRCH, ERRNO.ENODEV, ERRNO.EADDRNOTAVAIL);
}
