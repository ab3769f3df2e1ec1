/**
 * Hears of changes to our kernel objects that other programs made: from multicast notifications, which carry the port of who asked
 * for the change. Says that something changed, never what to do about it.
 */
import { decodeAddress } from './codecs/rtnetlink/ifaddr.ts';
import { decodeLink, decodeSettingsNews, type Link } from './codecs/rtnetlink/link.ts';
import { decodeNeighbour, type Neighbour } from './codecs/rtnetlink/neighbour.ts';
import { decodeRoute } from './codecs/rtnetlink/route.ts';
import * as u from './codecs/rtnetlink/uapi.ts';
import { ERRNO, isErrno } from './errors.ts';
import { areOurs, hasOurSettings } from './links/kernel-links.ts';
import { parseAttributes } from './netlink/attribute.ts';
import { type NetlinkMessage, NLM_F_REPLACE, parseMessages } from './netlink/message.ts';
import {
  isOverlayLink,
  isPodLink,
  NEIGHBOUR_PROTOCOL,
  NFT_TABLE,
  OVERLAY_GROUP,
  POD_GROUP,
  ROUTE_PROTOCOL,
} from './ownership.ts';
import { type FdbItem, itemKey, type NodeState, sameItem } from './state.ts';
import { linkName } from './system/libc.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from './system/netlink-socket.ts';
import { whenReadable } from './system/readiness.ts';

/** @see include/uapi/linux/netfilter/nfnetlink.h */
const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
const NFGENMSG = 4;
/** the subsystem's message 15, of no table. @see include/uapi/linux/netfilter/nf_tables.h */
const NFT_MSG_NEWGEN = (NFNL_SUBSYS_NFTABLES << 8) | 15;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE: all number 1 */
const NFTA_TABLE = 1;

/** Changes come in bursts: a link that goes takes its routes along. */
const QUIET_MS = 50;
const LOOK_AGAIN_MS = 500;
/** Of some settings of links the kernel tells nothing when they change. */
const LOOK_AT_LINKS_MS = 60_000;

export interface MonitorOptions {
  /** ports of our own sockets: what they caused is no news */
  readonly ownPorts: ReadonlySet<number>;
  /** links that we are making, changing or deleting: what is heard of them counts only once they have settled */
  readonly unsettled: { has(name: string): boolean };
  /** links of others whose changes matter too, such as the underlay's */
  readonly alsoLinks: ReadonlySet<string>;
  /** reads back how the links are now, before anything is heard of them */
  readonly links: () => readonly Link[];
  /** how often links are looked at, 60,000 unless given */
  readonly lookAtLinksMs?: number;
  /** what of ours should be in the kernel now: tells our own changes where the kernel does not say whose they are */
  readonly wanted: () => NodeState;
  readonly onForeignChange: (what: string) => void;
  /** a table that iptables has, by its own program or another, may have changed, or others may have written beside our rules */
  readonly onIptables: () => void;
}

/** Where the iptables backend decides, as the variant of its programs that writes nftables names them. */
const IPTABLES_TABLES: readonly string[] = ['raw', 'mangle'];

export class KernelMonitor {
  readonly #options: MonitorOptions;
  readonly #route = new NetlinkSocket(NETLINK_ROUTE, [
    u.RTNLGRP_LINK,
    u.RTNLGRP_NEIGH,
    u.RTNLGRP_TC,
    u.RTNLGRP_IPV4_IFADDR,
    u.RTNLGRP_IPV4_ROUTE,
    u.RTNLGRP_IPV4_NETCONF,
    u.RTNLGRP_IPV6_IFADDR,
    u.RTNLGRP_IPV6_ROUTE,
  ]);
  readonly #filter = new NetlinkSocket(NETLINK_NETFILTER, [NFNLGRP_NFTABLES]);
  readonly #stopWaiting: () => void;
  /** each of others' links that matter, as last heard */
  readonly #known = new Map<string, Link>();
  /** unsettled links last heard of as they should not be */
  readonly #doubtful = new Set<string>();
  readonly #looking: NodeJS.Timeout;
  #quiet: NodeJS.Timeout | undefined;
  /** heard of a change of the rules, or of nothing for sure, and not yet told */
  #rulesTouched = false;

  constructor(options: MonitorOptions) {
    this.#options = options;
    for (const link of options.links()) if (options.alsoLinks.has(link.name)) this.#known.set(link.name, link);
    this.#stopWaiting = whenReadable([this.#route.fd, this.#filter.fd], () => {
      this.#drain(this.#route, (message) => this.#aboutRoute(message));
      this.#hearFilter();
    });
    this.#looking = setInterval(() => this.look(), options.lookAtLinksMs ?? LOOK_AT_LINKS_MS).unref();
  }

  /** Has another program changed our rules or elements, so that they have to be read back? Hears what there is to hear first. */
  rulesTouched(): boolean {
    this.#hearFilter();
    return this.#rulesTouched;
  }

  /** Looks at all links for what the kernel does not tell. */
  look(): void {
    const off = this.#options.links().find((link) => {
      const { wanted, unsettled, alsoLinks } = this.#options;
      if (alsoLinks.has(link.name)) return link.ipv4?.forwarding === 0;
      const isOurs = wanted().has(`link ${link.name}`) && !unsettled.has(link.name);
      return isOurs && !this.#isAsWanted(link);
    });
    if (off !== undefined) this.#tell(`link ${off.name}`);
  }

  close(): void {
    clearInterval(this.#looking);
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
          if (what === undefined) continue;
          if (socket === this.#filter) this.#rulesTouched = true;
          this.#tell(what, socket === this.#filter ? 0 : QUIET_MS);
        }
      }
    } catch (error) {
      // Notifications were lost: anything may have happened.
      if (!isErrno(error, ERRNO.ENOBUFS)) throw error;
      if (socket === this.#filter) this.#rulesTouched = true;
      this.#tell('notifications lost');
    }
  }

  #hearFilter(): void {
    let isAboutIptables = false;
    this.#drain(this.#filter, (message) => {
      const table = tableOf(message);
      if (table !== undefined && IPTABLES_TABLES.includes(table)) isAboutIptables = true;
      return table === NFT_TABLE ? 'rules' : undefined;
    });
    if (isAboutIptables) this.#options.onIptables();
  }

  /** @param quietMs 0 for what may have opened a way: that is told at once, whatever else is being waited for */
  #tell(what: string, quietMs = QUIET_MS): void {
    if (this.#quiet !== undefined && quietMs > 0) return;
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      this.#quiet = undefined;
      this.#rulesTouched = false;
      this.#options.onForeignChange(what);
    }, quietMs);
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
        const entry = decodeNeighbour(message.payload);
        const link = ourLink(entry.linkIndex);
        if (link === undefined) return this.#aboutNeighbour(message, entry);
        // The kernel's own changes of state (port 0) do not touch permanent entries; of FDB entries it never says who changed them.
        const matters = entry.fdb ? this.#isUnwanted(message.type, link, entry) : message.portId !== 0;
        return matters ? `neighbour ${entry.address ?? entry.mac}` : undefined;
      }
      case u.RTM_NEWADDR:
      case u.RTM_DELADDR: {
        const entry = decodeAddress(message.payload);
        // From our links the kernel itself (port 0) takes addresses only together with the link.
        const isOurs = message.portId !== 0 && ourLink(entry.linkIndex) !== undefined;
        return isOurs || this.#isAlso(entry.linkIndex) ? `address ${entry.address}` : undefined;
      }
      case u.RTM_NEWNETCONF:
        return this.#aboutSettings(message);
      case u.RTM_DELQDISC:
      case u.RTM_NEWTFILTER:
      case u.RTM_DELTFILTER: {
        // With a link goes what hangs on it: that comes from the kernel itself.
        const link = ourLink(new DataView(message.payload.buffer, message.payload.byteOffset).getInt32(4, true));
        return message.portId !== 0 && link !== undefined ? `filters of ${link}` : undefined;
      }
      default:
        return undefined;
    }
  }

  /** On a link of others: one that is wanted there, or says it is ours. */
  #aboutNeighbour({ portId }: NetlinkMessage, { linkIndex, address, protocol, fdb }: Neighbour): string | undefined {
    if (portId === 0 || fdb || address === undefined) return undefined;
    const isWanted = this.#options.wanted().has(`neighbour ${address} dev ${linkName(linkIndex)}`);
    return isWanted || protocol === NEIGHBOUR_PROTOCOL ? `neighbour ${address}` : undefined;
  }

  #aboutLink(message: NetlinkMessage): string | undefined {
    const link = decodeLink(message.payload);
    const { name } = link;
    const isGone = message.type === u.RTM_DELLINK;
    if (this.#options.alsoLinks.has(name)) return this.#hasChanged(link, isGone) ? `link ${name}` : undefined;
    if (!isPodLink(name) && !isOverlayLink(name)) return undefined;
    const unsettled = this.#options.unsettled.has(name);
    if (isGone) {
      if (!unsettled) return `link ${name} is gone`;
      // Another program may delete it just after we have put it right; our own deletions are of links that are not wanted any more.
      if (this.#options.wanted().has(`link ${name}`)) this.#doubt(name);
      else this.#doubtful.delete(name);
      return undefined;
    }
    // Carrier and the like: news only if the link is not as it should be.
    if (this.#isAsWanted(link)) this.#doubtful.delete(name);
    else if (unsettled) this.#doubt(name);
    else return `link ${name}`;
    return undefined;
  }

  /** What is set by sysctl; also what a link is born with. */
  #aboutSettings({ payload }: NetlinkMessage): string | undefined {
    const { linkIndex, settings } = decodeSettingsNews(payload);
    const name = linkIndex === undefined ? undefined : linkName(linkIndex);
    if (name === undefined) return undefined;
    if (this.#options.alsoLinks.has(name)) return settings.forwarding === 0 ? `forwarding of ${name}` : undefined;
    if (!(isPodLink(name) || isOverlayLink(name)) || areOurs(settings)) return undefined;
    if (!this.#options.unsettled.has(name)) return `settings of ${name}`;
    this.#doubt(name);
    return undefined;
  }

  /** The kernel speaks of a link for many reasons: carrier, statistics, an overlay link put upon it. */
  #hasChanged(link: Link, isGone: boolean): boolean {
    const before = this.#known.get(link.name);
    if (isGone) this.#known.delete(link.name);
    else this.#known.set(link.name, link);
    return isGone || before === undefined || !alike(before, link);
  }

  #isAsWanted(link: Link): boolean {
    const { name, up, noArp, group, mtu } = link;
    const wanted = this.#options.wanted().get(`link ${name}`);
    const wantedMtu = wanted?.kind === 'overlayLink' || wanted?.kind === 'podLink' ? wanted.mtu : mtu;
    const isOurs = noArp && group === (isPodLink(name) ? POD_GROUP : OVERLAY_GROUP) && hasOurSettings(link);
    return up && isOurs && mtu === wantedMtu;
  }

  /** Has an FDB entry gone that is wanted, or one come that is not? */
  #isUnwanted(type: number, link: string, { mac, address }: Neighbour): boolean {
    if (mac === undefined || address === undefined) return false;
    const item: FdbItem = { kind: 'fdb', link, mac, remote: address };
    const wanted = this.#options.wanted().get(itemKey(item));
    const isWanted = wanted !== undefined && sameItem(wanted, item);
    return type === u.RTM_DELNEIGH ? isWanted : !isWanted;
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

/** @returns the name; undefined for a link of others and for one that is gone, which is reported itself */
function ourLink(index: number): string | undefined {
  const name = linkName(index);
  return name !== undefined && (isPodLink(name) || isOverlayLink(name)) ? name : undefined;
}

/** Is all the same that the agent goes by? */
function alike(a: Link, b: Link): boolean {
  return a.index === b.index && a.mac === b.mac && a.mtu === b.mtu && a.up === b.up;
}

/** The name of the nftables table that a notification is about. */
function tableOf(message: NetlinkMessage): string | undefined {
  if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES || message.type === NFT_MSG_NEWGEN) return undefined;
  return parseAttributes(message.payload, NFGENMSG).get(NFTA_TABLE)?.string();
}
