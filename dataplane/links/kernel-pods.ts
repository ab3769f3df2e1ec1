/**
 * A container's interface: making the veth with its peer inside the container's namespace, giving the peer its address and the
 * one way out, and looking at it later. Everything about the host's end but its birth is kernel-links.ts's.
 */
import { closeSync } from 'node:fs';
import { addressBits, familyOf, parseIp, prefixOf } from '../address.ts';
import { encodeAddAddress } from '../codecs/rtnetlink/ifaddr.ts';
import { encodeAddVeth, encodeDelLink, encodeSetLink } from '../codecs/rtnetlink/link.ts';
import { encodeReplaceNeighbour } from '../codecs/rtnetlink/neighbour.ts';
import { encodeAddRoute } from '../codecs/rtnetlink/route.ts';
import { RtBatch, Rtnetlink } from '../codecs/rtnetlink/rtnetlink.ts';
import { RT_SCOPE_LINK, RT_TABLE_MAIN } from '../codecs/rtnetlink/uapi.ts';
import type { PodSpec, PodView } from '../dataplane.ts';
import { ERRNO, InvalidNetns, KernelError } from '../errors.ts';
import { NetlinkConnection } from '../netlink/connection.ts';
import { HOST_END_MAC, POD_GATEWAY, POD_GROUP } from '../ownership.ts';
import { linkIndex } from '../system/libc.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../system/netlink-socket.ts';
import { openNetns, withNetns } from '../system/netns.ts';
import { OUR_LINK_SETTINGS } from './kernel-links.ts';

/** Whose routes inside a container: the administrator's, by the kernel's own words. @see include/uapi/linux/rtnetlink.h */
const RTPROT_BOOT = 3;

/**
 * Makes both ends. The host's stays down, so nothing passes before its rules are there.
 * @throws KernelError; InvalidNetns when the namespace cannot be opened
 */
export function createPod(rtnetlink: Rtnetlink, spec: PodSpec): void {
  const netnsFd = openNetns(spec.netns);
  try {
    // An interface of that name on our side is what an earlier try left.
    const leftover = linkIndex(spec.link);
    if (leftover !== undefined) deleteLink(rtnetlink, spec.link, leftover);
    const batch = new RtBatch();
    batch.add('RTM_NEWLINK', `veth ${spec.link} with ${spec.ifname} in ${spec.netns}`, (out) =>
      encodeAddVeth(out, {
        name: spec.link,
        mac: HOST_END_MAC,
        mtu: spec.mtu,
        group: POD_GROUP,
        peer: { name: spec.ifname, mac: spec.mac, netnsFd },
      }),
    );
    batch.add('RTM_SETLINK', `link ${spec.link}`, (out) => encodeSetLink(out, spec.link, OUR_LINK_SETTINGS));
    rtnetlink.sendAll(batch);
  } finally {
    closeSync(netnsFd);
  }
  inside(spec.netns, (container) => configure(container, spec));
}

function configure(container: Rtnetlink, spec: PodSpec): void {
  const at = linkIndex(spec.ifname);
  if (at === undefined) throw new KernelError('RTM_NEWLINK', `link ${spec.ifname} in ${spec.netns}`, ERRNO.ENODEV);
  const where = `dev ${spec.ifname} in ${spec.netns}`;
  const gateway = parseIp(POD_GATEWAY);
  const batch = new RtBatch();
  for (const address of spec.addresses) {
    batch.add('RTM_NEWADDR', `address ${address} ${where}`, (out) => encodeAddAddress(out, at, address));
  }
  batch.add('RTM_SETLINK', `link ${spec.ifname} in ${spec.netns}`, (out) => encodeSetLink(out, at, { up: true }));
  const neighbour = { linkIndex: at, address: gateway, mac: HOST_END_MAC };
  batch.add('RTM_NEWNEIGH', `neighbour ${gateway} ${where}`, (out) => encodeReplaceNeighbour(out, neighbour));
  const route = { type: 'unicast', protocol: RTPROT_BOOT, table: RT_TABLE_MAIN, linkIndex: at } as const;
  const toGateway = { ...route, destination: prefixOf(gateway, addressBits(familyOf(gateway))) };
  const toAll = { ...route, destination: prefixOf(parseIp('0.0.0.0'), 0), gateway, onlink: true };
  // A second interface leaves the way out to the first: answers from its address would be taken for forged there anyway.
  const taken = [ERRNO.EEXIST];
  batch.add('RTM_NEWROUTE', `route ${gateway} ${where}`, (out) => encodeAddRoute(out, toGateway), taken);
  batch.add('RTM_NEWROUTE', `default route ${where}`, (out) => encodeAddRoute(out, toAll), taken);
  container.sendAll(batch);
}

/** @returns undefined when the namespace or the interface is gone */
export function viewPod(netns: string, ifname: string): PodView | undefined {
  try {
    return inside(netns, (container) => {
      const link = container.links().find(({ name }) => name === ifname);
      if (link?.mac === undefined) return undefined;
      const onLink = ({ linkIndex: index }: { readonly linkIndex?: number }) => index === link.index;
      return {
        ifname,
        mac: link.mac,
        mtu: link.mtu,
        up: link.up,
        addresses: container
          .addresses()
          .filter((entry) => onLink(entry) && entry.scope !== RT_SCOPE_LINK)
          .map(({ address }) => address),
        knowsGateway: container
          .neighbours()
          .some(
            (entry) => onLink(entry) && entry.address === POD_GATEWAY && entry.mac === HOST_END_MAC && entry.permanent,
          ),
        hasDefaultRoute: container.routes(4).some(({ destination }) => destination === '0.0.0.0/0'),
      };
    });
  } catch (error) {
    if (error instanceof InvalidNetns) return undefined;
    throw error;
  }
}

/** Sets the MTU of a pod's own end; does nothing when the namespace or the interface is gone. */
export function setPodMtu(netns: string, ifname: string, mtu: number): void {
  try {
    inside(netns, (container) => {
      const batch = new RtBatch().add(
        'RTM_SETLINK',
        `link ${ifname} in ${netns}`,
        (out) => encodeSetLink(out, ifname, { mtu }),
        [ERRNO.ENODEV],
      );
      container.sendAll(batch);
    });
  } catch (error) {
    if (!(error instanceof InvalidNetns)) throw error;
  }
}

/** Runs work with a routing socket of the container's namespace. */
function inside<T>(netns: string, work: (container: Rtnetlink) => T): T {
  return withNetns(netns, () => {
    const container = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
    try {
      return work(container);
    } finally {
      container.close();
    }
  });
}

function deleteLink(rtnetlink: Rtnetlink, name: string, index: number): void {
  const batch = new RtBatch().add('RTM_DELLINK', `link ${name}`, (out) => encodeDelLink(out, index), [ERRNO.ENODEV]);
  rtnetlink.sendAll(batch);
}
