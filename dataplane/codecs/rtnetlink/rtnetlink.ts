/**
 * The routing family over a connection: dumps as lists, changes queued and sent together. rtnetlink has no transaction: of
 * several changes each succeeds or fails by itself, and the caller is told which.
 */
import type { KernelError } from '../../errors.ts';
import { ByteWriter } from '../../netlink/bytes.ts';
import type { NetlinkConnection } from '../../netlink/connection.ts';
import type { NetlinkMessage } from '../../netlink/message.ts';
import { decodeFilter, encodeGetFilters, type Filter, type FilterPlace } from './filter.ts';
import { decodeAddress, encodeGetAddresses, type InterfaceAddress } from './ifaddr.ts';
import { decodeLink, decodeSentPackets, encodeGetLinks, type Link } from './link.ts';
import { decodeNeighbour, encodeGetFdb, encodeGetNeighbours, type Neighbour } from './neighbour.ts';
import { decodeRoute, encodeGetRoutes, type Route } from './route.ts';
import { decodeRule, encodeGetRules, type Rule } from './rule.ts';

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

  /** Leaves out the errors that mean it is already as wanted. */
  withoutIgnored(errors: Map<number, KernelError>): Map<number, KernelError> {
    for (const [index, error] of errors) if (this.#named[index]?.ignore.includes(error.errno)) errors.delete(index);
    return errors;
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
    return batch.withoutIgnored(errors);
  }

  /** As {@link send} for changes that make the kernel wait. Nothing else may use the socket meanwhile. */
  async sendAsync(batch: RtBatch): Promise<Map<number, KernelError>> {
    const bytes = batch.out.finish();
    const errors = await this.#connection.requestEachAsync(bytes, (index) => batch.describe(index));
    return batch.withoutIgnored(errors);
  }

  /** As {@link send}, throwing the first failure. */
  sendAll(batch: RtBatch): void {
    for (const error of this.send(batch).values()) throw error;
  }

  links(): Link[] {
    return this.#dump('RTM_GETLINK', encodeGetLinks).map(({ payload }) => decodeLink(payload));
  }

  /** Packets that each link has sent since it was made, by name. */
  sentPackets(): Map<string, number> {
    return new Map(this.#dump('RTM_GETLINK', encodeGetLinks).map(({ payload }) => decodeSentPackets(payload)));
  }

  addresses(): InterfaceAddress[] {
    return this.#dump('RTM_GETADDR', encodeGetAddresses).map(({ payload }) => decodeAddress(payload));
  }

  /** @param protocol only those that it put there; older kernels send all */
  routes(family: 4 | 6, protocol?: number): Route[] {
    return this.#dump('RTM_GETROUTE', (out) => encodeGetRoutes(out, family, protocol)).flatMap(
      ({ payload }) => decodeRoute(payload) ?? [],
    );
  }

  neighbours(): Neighbour[] {
    return this.#dump('RTM_GETNEIGH', encodeGetNeighbours).map(({ payload }) => decodeNeighbour(payload));
  }

  fdb(): Neighbour[] {
    return this.#dump('RTM_GETNEIGH', encodeGetFdb).map(({ payload }) => decodeNeighbour(payload));
  }

  /** Routing policy rules. */
  rules(family: 4 | 6): Rule[] {
    return this.#dump('RTM_GETRULE', (out) => encodeGetRules(out, family)).flatMap(
      ({ payload }) => decodeRule(payload) ?? [],
    );
  }

  /** At the ingress of one link. */
  filters(linkIndex: number, place: FilterPlace): Filter[] {
    return this.#dump('RTM_GETTFILTER', (out) => encodeGetFilters(out, linkIndex, place)).flatMap(
      ({ payload }) => decodeFilter(payload) ?? [],
    );
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
