/**
 * Hears of changes to our kernel objects that somebody else made: from multicast notifications, which carry the port of who asked
 * for the change. Says that something changed, never what to do about it.
 */
import { ERRNO, isErrno } from './errors.ts';
import { parseAttributes } from './netlink/attribute.ts';
import { type NetlinkMessage, NLM_F_REPLACE, parseMessages } from './netlink/message.ts';
import { isOverlayLink, isPodLink, NFT_TABLE, OVERLAY_GROUP, POD_GROUP, ROUTE_PROTOCOL } from './ownership.ts';
import { decodeAddress } from './rtnetlink/ifaddr.ts';
import { decodeLink } from './rtnetlink/link.ts';
import { decodeNeighbour } from './rtnetlink/neighbour.ts';
import { decodeRoute } from './rtnetlink/route.ts';
import * as u from './rtnetlink/uapi.ts';
import { linkName } from './system/libc.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from './system/netlink-socket.ts';
import { whenReadable } from './system/readiness.ts';

/** @see include/uapi/linux/netfilter/nfnetlink.h */
const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
const NFGENMSG = 4;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE: all number 1 */
const NFTA_TABLE = 1;

/** Changes come in bursts: a link that goes takes its routes along. */
const QUIET_MS = 50;
const LOOK_AGAIN_MS = 500;

export interface MonitorOptions {
  /** ports of our own sockets: what they caused is no news */
  readonly ownPorts: ReadonlySet<number>;
  /** links that we are making or deleting: what is heard of them counts only once they have settled */
  readonly unsettled: ReadonlySet<string>;
  /** links of others whose changes matter too, such as the underlay's */
  readonly alsoLinks: ReadonlySet<string>;
  readonly onForeignChange: (what: string) => void;
}

export class KernelMonitor {
  readonly #options: MonitorOptions;
  readonly #route = new NetlinkSocket(NETLINK_ROUTE, [
    u.RTNLGRP_LINK,
    u.RTNLGRP_NEIGH,
    u.RTNLGRP_IPV4_IFADDR,
    u.RTNLGRP_IPV4_ROUTE,
    u.RTNLGRP_IPV6_IFADDR,
    u.RTNLGRP_IPV6_ROUTE,
  ]);
  readonly #filter = new NetlinkSocket(NETLINK_NETFILTER, [NFNLGRP_NFTABLES]);
  readonly #stopWaiting: () => void;
  /** MTU of each link that matters, as last heard */
  readonly #mtus = new Map<string, number>();
  /** unsettled links last heard of as they should not be */
  readonly #doubtful = new Set<string>();
  #quiet: NodeJS.Timeout | undefined;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#stopWaiting = whenReadable([this.#route.fd, this.#filter.fd], () => {
      this.#drain(this.#route, (message) => this.#aboutRoute(message));
      this.#drain(this.#filter, aboutNftables);
    });
  }

  close(): void {
    this.#stopWaiting();
    clearTimeout(this.#quiet);
    this.#route.close();
    this.#filter.close();
  }

  #drain(socket: NetlinkSocket, about: (message: NetlinkMessage) => string | undefined): void {
    try {
      for (let datagram = socket.poll(); datagram !== undefined; datagram = socket.poll()) {
        for (const message of parseMessages(datagram)) {
          if (this.#options.ownPorts.has(message.portId)) continue;
          const what = about(message);
          if (what !== undefined) this.#tell(what);
        }
      }
    } catch (error) {
      // Notifications were lost: anything may have happened.
      if (isErrno(error, ERRNO.ENOBUFS)) this.#tell('notifications lost');
      else throw error;
    }
  }

  #tell(what: string): void {
    this.#quiet ??= setTimeout(() => {
      this.#quiet = undefined;
      this.#options.onForeignChange(what);
    }, QUIET_MS);
  }

  #aboutRoute(message: NetlinkMessage): string | undefined {
    switch (message.type) {
      case u.RTM_NEWLINK:
      case u.RTM_DELLINK:
        return this.#aboutLink(message);
      case u.RTM_NEWROUTE:
      case u.RTM_DELROUTE: {
        const route = decodeRoute(message.payload);
        if (route === undefined || route.table !== u.RT_TABLE_MAIN) return undefined;
        const matters = route.protocol === ROUTE_PROTOCOL || (message.flags & NLM_F_REPLACE) !== 0;
        return matters ? `route ${route.destination}` : undefined;
      }
      case u.RTM_NEWNEIGH:
      case u.RTM_DELNEIGH: {
        // The kernel's own changes of state (port 0) do not touch permanent entries.
        const entry = decodeNeighbour(message.payload);
        return message.portId !== 0 && this.#isOurs(entry.linkIndex)
          ? `neighbour ${entry.address ?? entry.mac}`
          : undefined;
      }
      case u.RTM_NEWADDR:
      case u.RTM_DELADDR: {
        const entry = decodeAddress(message.payload);
        return this.#isOurs(entry.linkIndex) || this.#isAlso(entry.linkIndex) ? `address ${entry.address}` : undefined;
      }
      default:
        return undefined;
    }
  }

  #aboutLink(message: NetlinkMessage): string | undefined {
    const link = decodeLink(message.payload);
    const { name, mtu } = link;
    const isPod = isPodLink(name);
    if (!isPod && !isOverlayLink(name) && !this.#options.alsoLinks.has(name)) return undefined;
    const sameMtu = (this.#mtus.get(name) ?? mtu) === mtu;
    this.#mtus.set(name, mtu);
    if (message.type === u.RTM_DELLINK) {
      this.#mtus.delete(name);
      this.#doubtful.delete(name);
      return this.#options.unsettled.has(name) ? undefined : `link ${name} is gone`;
    }
    if (this.#options.alsoLinks.has(name)) return `link ${name}`;
    // Carrier and the like: news only if the link is not as it should be.
    const asWanted = link.up && link.noArp && link.group === (isPod ? POD_GROUP : OVERLAY_GROUP) && sameMtu;
    if (asWanted) this.#doubtful.delete(name);
    else if (this.#options.unsettled.has(name)) this.#doubt(name);
    else return `link ${name}`;
    return undefined;
  }

  /** A link that is gone is reported itself. */
  #isOurs(index: number): boolean {
    const name = linkName(index);
    return name !== undefined && (isPodLink(name) || isOverlayLink(name));
  }

  /** A link that has settled and was last heard of as it should not be is news after all. */
  #doubt(name: string): void {
    this.#doubtful.add(name);
    const look = () => {
      if (!this.#doubtful.has(name)) return;
      if (this.#options.unsettled.has(name)) setTimeout(look, LOOK_AGAIN_MS).unref();
      else if (this.#doubtful.delete(name)) this.#tell(`link ${name}`);
    };
    setTimeout(look, LOOK_AGAIN_MS).unref();
  }

  #isAlso(index: number): boolean {
    return this.#options.alsoLinks.has(linkName(index) ?? '');
  }
}

function aboutNftables(message: NetlinkMessage): string | undefined {
  if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES) return undefined;
  const table = parseAttributes(message.payload, NFGENMSG).get(NFTA_TABLE);
  // A notification of a new generation has a number there.
  return table !== undefined && table.payload.length > 4 && table.string() === NFT_TABLE ? 'rules' : undefined;
}
