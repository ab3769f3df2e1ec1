/**
 * The rtnetlink half of a node's state: links, addresses, routes, neighbours and FDB entries, read back and changed. Items are named
 * by links; the kernel by their numbers, which this file looks up.
 */
import { encodeAddAddress, encodeDelAddress } from '../codecs/rtnetlink/ifaddr.ts';
import {
  encodeAddVxlan,
  encodeDelLink,
  encodeSetLink,
  type Ipv4Settings,
  type Link,
  type LinkChanges,
} from '../codecs/rtnetlink/link.ts';
import {
  encodeDelFdb,
  encodeDelNeighbour,
  encodeReplaceFdb,
  encodeReplaceNeighbour,
} from '../codecs/rtnetlink/neighbour.ts';
import { encodeAddRoute, encodeDelRoute, encodeReplaceRoute, type Route } from '../codecs/rtnetlink/route.ts';
import { RtBatch, type Rtnetlink } from '../codecs/rtnetlink/rtnetlink.ts';
import { RT_SCOPE_LINK, RT_TABLE_MAIN } from '../codecs/rtnetlink/uapi.ts';
import type { Change } from '../diff.ts';
import { ERRNO, KernelError } from '../errors.ts';
import type { ByteWriter } from '../netlink/bytes.ts';
import {
  isOurNeighbour,
  isOverlayLink,
  isPodLink,
  NEIGHBOUR_PROTOCOL,
  OVERLAY_GROUP,
  POD_GROUP,
  ROUTE_PROTOCOL,
} from '../ownership.ts';
import { type Item, itemKey, type OverlayLinkItem, type RouteItem } from '../state.ts';
import { linkIndex } from '../system/libc.ts';

/**
 * How our links treat IPv4. Forwarding is asked of the link a packet comes in by. Nothing here ever redirects or believes a
 * redirect; what may come from where is the rules' business, which know more than a reverse path does.
 */
const LINK_SETTINGS = {
  forwarding: 1,
  rp_filter: 0,
  accept_redirects: 0,
  secure_redirects: 0,
  send_redirects: 0,
  accept_source_route: 0,
  proxy_arp: 0,
  route_localnet: 0,
  arp_ignore: 8,
  arp_accept: 0,
} as const satisfies LinkChanges['ipv4'];

export const OUR_LINK_SETTINGS: LinkChanges = { noArp: true, ipv4: LINK_SETTINGS, ipv6LinkLocal: false };

/** Does a link treat IPv4 and IPv6 as ours do? What the kernel does not tell counts as right. */
export function hasOurSettings({ ipv4, ipv6LinkLocal }: Pick<Link, 'ipv4' | 'ipv6LinkLocal'>): boolean {
  return ipv6LinkLocal !== true && (ipv4 === undefined || areOurs(ipv4));
}

/** @param settings some of them, or all */
export function areOurs(settings: Partial<Ipv4Settings>): boolean {
  const wanted: Partial<Ipv4Settings> = LINK_SETTINGS;
  for (const name in settings) {
    const setting = name as keyof Ipv4Settings;
    if (wanted[setting] !== undefined && wanted[setting] !== settings[setting]) return false;
  }
  return true;
}

/** Reads back everything of ours. */
export function observeLinks(rtnetlink: Rtnetlink): Map<string, Item> {
  const items = new Map<string, Item>();
  const add = (item: Item) => items.set(itemKey(item), item);
  const links = rtnetlink.links();
  const nameOf = new Map(links.map((link) => [link.index, link.name]));
  for (const link of links) {
    const item = linkItem(link, nameOf);
    if (item !== undefined) add(item);
  }
  const ours = (index: number | undefined) => {
    const name = index === undefined ? undefined : nameOf.get(index);
    return name !== undefined && (isPodLink(name) || isOverlayLink(name)) ? name : undefined;
  };
  for (const { linkIndex, address, scope } of rtnetlink.addresses()) {
    const link = ours(linkIndex);
    if (link !== undefined && scope !== RT_SCOPE_LINK) add({ kind: 'address', link, address });
  }
  for (const route of [...rtnetlink.routes(4, ROUTE_PROTOCOL), ...rtnetlink.routes(6, ROUTE_PROTOCOL)]) {
    if (route.protocol === ROUTE_PROTOCOL && route.table === RT_TABLE_MAIN) add(routeItem(route, nameOf));
  }
  for (const { linkIndex, address, mac, permanent, protocol } of rtnetlink.neighbours()) {
    const link = nameOf.get(linkIndex);
    if (link !== undefined && isOurNeighbour(link, protocol) && permanent && address && mac)
      add({ kind: 'neighbour', link, address, mac });
  }
  for (const { linkIndex, address, mac } of rtnetlink.fdb()) {
    const link = ours(linkIndex);
    if (link !== undefined && address && mac) add({ kind: 'fdb', link, mac, remote: address });
  }
  return items;
}

function linkItem(link: Link, nameOf: ReadonlyMap<number, string>): Item | undefined {
  const { name, mtu, vxlan } = link;
  // One that is not as ours are counts as down, and is set anew.
  const isOurs = link.noArp && hasOurSettings(link);
  if (isPodLink(name)) return { kind: 'podLink', name, mtu, up: link.up && isOurs && link.group === POD_GROUP };
  if (!isOverlayLink(name) || vxlan?.local === undefined || link.mac === undefined) return undefined;
  return {
    kind: 'overlayLink',
    name,
    vni: vxlan.vni,
    local: vxlan.local,
    port: vxlan.port,
    // One that learns is no link of ours, and cannot be told not to: it is made anew.
    underlay: vxlan.learning ? '' : (nameOf.get(vxlan.underlayIndex) ?? ''),
    mac: link.mac,
    mtu,
    up: link.up && isOurs && link.group === OVERLAY_GROUP,
  };
}

function routeItem(route: Route, nameOf: ReadonlyMap<number, string>): RouteItem {
  const { destination, gateway, source } = route;
  if (route.type !== 'unicast') return { kind: 'route', type: route.type, destination };
  const link = route.linkIndex === undefined ? undefined : nameOf.get(route.linkIndex);
  return {
    kind: 'route',
    type: 'unicast',
    destination,
    ...(link === undefined ? {} : { link }),
    ...(gateway === undefined ? {} : { gateway }),
    ...(source === undefined ? {} : { source }),
  };
}

/**
 * Makes the changes that are not isolation, in order.
 * @param deleteLink takes an overlay link away, later
 * @returns failures by item key
 */
export function applyLinks(
  rtnetlink: Rtnetlink,
  changes: readonly Change[],
  deleteLink: (name: string) => void,
): Map<string, KernelError> {
  const failures = new Map<string, KernelError>();
  for (const change of changes) {
    if (change.item.kind === 'overlayLink') applyOverlay(rtnetlink, change, deleteLink, failures);
  }
  const theirs = neighboursOfOthers(rtnetlink, changes);
  const rest = changes.filter(({ item }) => item.kind !== 'overlayLink' && !theirs.has(itemKey(item)));
  const batch = new RtBatch();
  const keys: string[] = [];
  for (const change of rest) {
    const size = batch.size;
    const key = itemKey(change.item);
    try {
      queue(batch, change);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (change.op !== 'remove') failures.set(key, error);
    }
    for (let added = size; added < batch.size; added++) keys.push(key);
  }
  for (const [index, error] of rtnetlink.send(batch)) failures.set(keys[index] ?? '', error);
  return failures;
}

/**
 * Of neighbours to be changed on links of others, those that are not ours to change: others made them permanent, or there is
 * nothing of ours to take away. @returns keys of items
 */
function neighboursOfOthers(rtnetlink: Rtnetlink, changes: readonly Change[]): ReadonlySet<string> {
  const asked = new Map<string, Change>();
  for (const change of changes) {
    const { item } = change;
    if (item.kind === 'neighbour' && !isOurNeighbour(item.link, 0))
      asked.set(`${item.address} ${linkIndex(item.link)}`, change);
  }
  const theirs = new Set<string>();
  if (asked.size === 0) return theirs;
  for (const found of rtnetlink.neighbours()) {
    const change = asked.get(`${found.address} ${found.linkIndex}`);
    if (change === undefined || found.protocol === NEIGHBOUR_PROTOCOL) continue;
    if (found.permanent || change.op === 'remove') theirs.add(itemKey(change.item));
  }
  return theirs;
}

function applyOverlay(
  rtnetlink: Rtnetlink,
  change: Change,
  deleteLink: (name: string) => void,
  failures: Map<string, KernelError>,
): void {
  const item = change.item as OverlayLinkItem;
  if (change.op === 'remove') {
    deleteLink(item.name);
    return;
  }
  try {
    const existing = linkIndex(item.name);
    if (existing !== undefined && change.op === 'replace' && samePlace(item, change.previous)) {
      const batch = setLink(new RtBatch(), item.name, { ...OUR_LINK_SETTINGS, mtu: item.mtu, group: OVERLAY_GROUP });
      rtnetlink.sendAll(setLink(batch, item.name, { up: true }));
      return;
    }
    const underlayIndex = linkIndex(item.underlay);
    if (underlayIndex === undefined)
      throw new KernelError('RTM_NEWLINK', `underlay link ${item.underlay}`, ERRNO.ENODEV);
    const batch = new RtBatch();
    if (existing !== undefined)
      batch.add('RTM_DELLINK', `link ${item.name}`, (out) => encodeDelLink(out, existing), [ERRNO.ENODEV]);
    const spec = { ...item, underlayIndex, group: OVERLAY_GROUP };
    batch.add('RTM_NEWLINK', `link ${item.name}`, (out) => encodeAddVxlan(out, spec));
    // In this order: a link that comes up before it is told otherwise gives itself an IPv6 address.
    setLink(batch, item.name, OUR_LINK_SETTINGS);
    setLink(batch, item.name, { up: true });
    rtnetlink.sendAll(batch);
    // What stood on the old link went with it: the caller reads back and puts it there again.
    if (existing !== undefined)
      failures.set(`made anew ${item.name}`, new KernelError('RTM_NEWLINK', item.name, ERRNO.EEXIST));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    failures.set(itemKey(item), error);
  }
}

/** Does only that differ which can be changed on a link that exists? */
function samePlace(a: OverlayLinkItem, b: Item): boolean {
  if (b.kind !== 'overlayLink') return false;
  return a.vni === b.vni && a.local === b.local && a.port === b.port && a.underlay === b.underlay && a.mac === b.mac;
}

function setLink(batch: RtBatch, name: string, changes: LinkChanges): RtBatch {
  return batch.add('RTM_SETLINK', `link ${name}`, (out) => encodeSetLink(out, name, changes));
}

/** Queues what one change takes. @throws KernelError ENODEV when its link does not exist */
function queue(batch: RtBatch, change: Change): void {
  const { item, op } = change;
  const remove = op === 'remove';
  const object = itemKey(item);
  const index = (link: string): number => {
    const found = linkIndex(link);
    if (found === undefined) throw new KernelError(remove ? 'remove' : 'add', `${object}: link ${link}`, ERRNO.ENODEV);
    return found;
  };
  const add = (kind: string, encode: (out: ByteWriter) => void) => {
    const absent = [ERRNO.ENOENT, ERRNO.ESRCH, ERRNO.ENODEV, ERRNO.EADDRNOTAVAIL];
    batch.add(`RTM_${remove ? 'DEL' : 'NEW'}${kind}`, object, encode, remove ? absent : []);
  };
  switch (item.kind) {
    case 'podLink': {
      // DEL deletes pod links; one that the agent knows no more is left closed.
      if (remove) return;
      index(item.name);
      const changes = { ...OUR_LINK_SETTINGS, mtu: item.mtu, group: POD_GROUP, up: item.up };
      setLink(batch, item.name, changes);
      return;
    }
    case 'address': {
      const at = index(item.link);
      const encode = remove ? encodeDelAddress : encodeAddAddress;
      add('ADDR', (out) => encode(out, at, item.address));
      return;
    }
    case 'neighbour': {
      const protocol = isOurNeighbour(item.link, 0) ? {} : { protocol: NEIGHBOUR_PROTOCOL };
      const spec = { linkIndex: index(item.link), address: item.address, mac: item.mac, ...protocol };
      add('NEIGH', (out) => (remove ? encodeDelNeighbour(out, spec) : encodeReplaceNeighbour(out, spec)));
      return;
    }
    case 'fdb': {
      const spec = { linkIndex: index(item.link), address: item.remote, mac: item.mac };
      add('NEIGH', (out) => (remove ? encodeDelFdb(out, spec) : encodeReplaceFdb(out, spec)));
      return;
    }
    case 'route': {
      const route: Route = {
        destination: item.destination,
        type: item.type,
        protocol: ROUTE_PROTOCOL,
        table: RT_TABLE_MAIN,
        ...(item.link === undefined ? {} : { linkIndex: index(item.link) }),
        ...(item.gateway === undefined ? {} : { gateway: item.gateway, onlink: true }),
        ...(item.source === undefined ? {} : { source: item.source }),
      };
      // Only what was seen to be ours is replaced.
      const encode = { add: encodeAddRoute, replace: encodeReplaceRoute, remove: encodeDelRoute }[op];
      add('ROUTE', (out) => encode(out, route));
      return;
    }
    default:
      return;
  }
}
