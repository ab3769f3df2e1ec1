/**
 * The real dataplane: this thread's network namespace through netlink. Puts the halves together (isolation first, then links),
 * listens for foreign changes, and keeps what makes the kernel wait off the main thread.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import type { IpAddress } from './address.ts';
import { type BackendChoice, type ChosenBackend, chooseBackend } from './backends/backends.ts';
import type { BackendName } from './backends/isolation-backend.ts';
import { Conntrack } from './codecs/conntrack/conntrack.ts';
import type { InterfaceAddress } from './codecs/rtnetlink/ifaddr.ts';
import type { Link } from './codecs/rtnetlink/link.ts';
import type { Route } from './codecs/rtnetlink/route.ts';
import { Rtnetlink } from './codecs/rtnetlink/rtnetlink.ts';
import type { Dataplane, Failures, LinkTraffic, PodSpec, PodView, Refusal } from './dataplane.ts';
import type { Change } from './diff.ts';
import { ERRNO, isErrno } from './errors.ts';
import { FragmentGuards } from './fragments/fragment-guards.ts';
import { KernelMonitor } from './kernel-monitor.ts';
import { applyLinks, observeLinks } from './links/kernel-links.ts';
import { createPod, setPodMtu, viewPod } from './links/kernel-pods.ts';
import { LinkDeleter } from './links/link-deleter.ts';
import { NetlinkConnection } from './netlink/connection.ts';
import { isPodLink } from './ownership.ts';
import { listenForRefusals } from './refusal-log.ts';
import { type Item, itemKey, type NodeState, type OverlayLinkItem, type PodLinkItem } from './state.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from './system/netlink-socket.ts';

/** Within this time the last notification about a link that we made or deleted has been read. */
const ECHO_MS = 1_000;

export class KernelDataplane implements Dataplane {
  readonly #routeSocket = new NetlinkSocket(NETLINK_ROUTE);
  readonly #filterSocket = new NetlinkSocket(NETLINK_NETFILTER);
  readonly #route = new NetlinkConnection(this.#routeSocket);
  readonly #filter = new NetlinkConnection(this.#filterSocket);
  readonly #rtnetlink = new Rtnetlink(this.#route);
  readonly #chosen: ChosenBackend;
  readonly #fragments: FragmentGuards | undefined;
  readonly #lack: string;
  readonly #deleter: LinkDeleter;
  readonly #conntrack: Conntrack;
  /** of every socket that changes something: what we did ourselves is no news */
  readonly #ownPorts = new Set<number>();
  /** links that we are making, changing or deleting: some of what the kernel then says carries no port */
  readonly #unsettled = new Map<string, NodeJS.Timeout>();
  /** what should be there: as last wanted, or as last read back */
  #wanted: NodeState = new Map();

  /** routes that were ours in this process's life */
  readonly #routes = new Set<string>();
  #monitor: KernelMonitor | undefined;
  #hasRetired = false;

  /** @throws KernelError without the privilege (CAP_NET_ADMIN), or when the kernel lacks the backend asked for */
  static open(choice: BackendChoice = { backend: 'auto' }): KernelDataplane {
    return new KernelDataplane(choice);
  }

  private constructor(choice: BackendChoice) {
    for (const { portId } of [this.#routeSocket, this.#filterSocket]) this.#ownPorts.add(portId);
    this.#deleter = new LinkDeleter(this.#rtnetlink, (portId) => this.#ownPorts.add(portId));
    this.#chosen = chooseBackend(choice, {
      filter: this.#filter,
      rtnetlink: this.#rtnetlink,
      isTouched: () => this.#monitor?.rulesTouched() ?? true,
    });
    const { guards, lack } = guardFragments(this.#rtnetlink);
    [this.#fragments, this.#lack] = [guards, lack];
    this.#conntrack = new Conntrack(new NetlinkConnection(new NetlinkSocket(NETLINK_NETFILTER)));
  }

  /** Where isolation is enforced, and why there. */
  get backend(): { readonly name: BackendName; readonly why: string } {
    return { name: this.#chosen.backend.name, why: `${this.#chosen.why}${this.#lack}` };
  }

  /** Messages sent so far to the kernel's routing and filtering, deletions of links left out: what a change costs can be counted. */
  get messagesSent(): { readonly route: number; readonly filter: number } {
    return { route: this.#route.messagesSent, filter: this.#filter.messagesSent };
  }

  observe(desired: NodeState): NodeState {
    const { backend } = this.#chosen;
    // Programs of a former process count in its maps, which are lost: they are no more than a reason to put ours there.
    this.#fragments?.reset(desired);
    const items: Map<string, Item> = observeLinks(this.#rtnetlink);
    for (const [key, item] of backend.observe(desired)) items.set(key, item);
    for (const [key, item] of desired)
      if (item.kind === 'element' && backend.ignores.has(item.collection)) items.set(key, item);
    this.#wanted = items;
    for (const [key, { kind }] of items) if (kind === 'route') this.#routes.add(key);
    return items;
  }

  apply(changes: readonly Change[], desired: NodeState): Failures {
    this.#fragments?.follow(changes, desired);
    this.#chosen.backend.apply(changes, desired);
    this.#wanted = desired;
    for (const link of new Set(changes.flatMap(({ item }) => (isLink(item) ? item.name : [])))) this.#unsettle(link);
    const failures = applyLinks(
      this.#rtnetlink,
      changes.map((change) => this.#takenBack(change)),
      (name) => {
        // A failure leaves the link for the next reading back.
        this.deleteLink(name).catch(() => undefined);
      },
    );
    this.#fragments?.followLinks(changes, desired);
    for (const { item, op } of changes) {
      const key = itemKey(item);
      if (op === 'remove') this.#routes.delete(key);
      else if (item.kind === 'route' && !failures.has(key)) this.#routes.add(key);
    }
    return failures;
  }

  retireOthers(): void {
    if (this.#hasRetired) return;
    for (const other of this.#chosen.others) if (other.exists()) other.remove();
    // Where they hang on what the other has just removed.
    this.#fragments?.attach();
    this.#hasRetired = true;
  }

  monitor(onForeignChange: (what: string) => void, alsoLinks: readonly string[]): { close(): void } {
    const silent = this.#chosen.backend.watch(onForeignChange);
    const monitor = new KernelMonitor({
      ownPorts: this.#ownPorts,
      unsettled: this.#unsettled,
      alsoLinks: new Set(alsoLinks),
      links: () => this.links(),
      wanted: () => this.#wanted,
      onForeignChange,
      onIptables: () => silent.look(),
    });
    this.#monitor = monitor;
    return {
      close: () => {
        this.#monitor = undefined;
        monitor.close();
        silent.close();
      },
    };
  }

  createPod(spec: PodSpec): void {
    this.#unsettle(spec.link);
    createPod(this.#rtnetlink, spec);
  }

  setPodMtu(netns: string, ifname: string, mtu: number): void {
    setPodMtu(netns, ifname, mtu);
  }

  viewPod(netns: string, ifname: string): PodView | undefined {
    return viewPod(netns, ifname);
  }

  async deleteLink(name: string): Promise<boolean> {
    this.#unsettle(name);
    try {
      return await this.#deleter.delete(name);
    } finally {
      this.#unsettle(name);
    }
  }

  podLinks(): readonly string[] {
    return this.links().flatMap(({ name }) => (isPodLink(name) ? [name] : []));
  }

  traffic(): ReadonlyMap<string, LinkTraffic> {
    const refused = this.#chosen.backend.refused();
    const fragments = this.#fragments?.refused();
    const refusedAt = (link: string) => (refused.get(link) ?? 0) + (fragments?.get(link) ?? 0);
    const sent = [...this.#rtnetlink.sentPackets()].filter(([name]) => isPodLink(name));
    return new Map(sent.map(([name, delivered]) => [name, { delivered, refused: refusedAt(name) }]));
  }

  watchRefusals(onRefusal: (refusal: Refusal) => void): { close(): void } {
    return listenForRefusals(onRefusal);
  }

  forgetFlows(addresses: readonly IpAddress[]): Promise<void> {
    return this.#conntrack.forget(addresses);
  }

  links(): readonly Link[] {
    return this.#rtnetlink.links();
  }

  /** For finding the underlay. */
  underlayView(): { links: readonly Link[]; addresses: readonly InterfaceAddress[]; routes: readonly Route[] } {
    const routes = this.#rtnetlink.routes(4);
    return { links: this.links(), addresses: this.#rtnetlink.addresses(), routes };
  }

  /**
   * Lets packets that come in by a link be forwarded: answers to egress. Through /proc, where the kernel also turns off what would
   * merge packets (LRO). True if it was off.
   */
  enableForwarding(link: string): boolean {
    const path = `/proc/sys/net/ipv4/conf/${link}/forwarding`;
    if (readFileSync(path, 'utf8').trim() === '1') return false;
    writeFileSync(path, '1');
    // A router that believes redirects can be led astray by anyone on its segment.
    writeFileSync(`/proc/sys/net/ipv4/conf/${link}/accept_redirects`, '0');
    return true;
  }

  close(): void {
    for (const backend of [this.#chosen.backend, ...this.#chosen.others]) backend.close();
    this.#fragments?.close();
    this.#rtnetlink.close();
    this.#filterSocket.close();
    this.#conntrack.close();
  }

  /** A route that was ours and is no more was replaced by another program: it is taken back. One that never was ours stays theirs. */
  #takenBack(change: Change): Change {
    const { item, op } = change;
    const taken = op === 'add' && item.kind === 'route' && this.#routes.has(itemKey(item));
    return taken ? { op: 'replace', item, previous: item } : change;
  }

  #unsettle(link: string): void {
    clearTimeout(this.#unsettled.get(link));
    this.#unsettled.set(link, setTimeout(() => this.#unsettled.delete(link), ECHO_MS).unref());
  }
}

/** A kernel without such programs leaves all memory for fragments to any pod, and the log says so. */
function guardFragments(rtnetlink: Rtnetlink): { readonly guards?: FragmentGuards; readonly lack: string } {
  try {
    return { guards: new FragmentGuards(rtnetlink), lack: '' };
  } catch (error) {
    if (!isErrno(error, ERRNO.ENOSYS, ERRNO.EPERM, ERRNO.EACCES, ERRNO.EINVAL)) throw error;
    return { lack: `; what containers’ fragments take of the node’s memory is not bounded: ${error.message}` };
  }
}

function isLink(item: Item): item is OverlayLinkItem | PodLinkItem {
  return item.kind === 'overlayLink' || item.kind === 'podLink';
}
