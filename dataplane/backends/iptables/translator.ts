/**
 * From elements that speak of identities to members of sets that cannot: (network, link) pairs, the join of who an address is with who
 * may meet a link. Kept up to date element by element, so that a change costs the members it is about. Pure.
 *
 *   guard ─────────────► pod          egress, ingress × network, identity ─► egress, ingress: for all ports, `-some`, `-p` a port set
 *   guard × internet ──► internet     egressNet, ingressNet, beyond ───────► `-n` a port set
 *   port ──────────────► port sets    overlaySource × block, identity ─────► overlay
 */
import {
  hostPrefix,
  type IpAddress,
  type IpPrefix,
  ipToBytes,
  type MacAddress,
  parseIp,
  parseMac,
  parsePrefix,
  prefixOf,
} from '../../address.ts';
import type { IpsetMember, IpsetSpec } from '../../codecs/ipset/member.ts';
import {
  type Collection,
  type ElementItem,
  type NodeState,
  PORT_SET,
  type RuleSetItem,
  ruleSetOf,
} from '../../state.ts';
import { closedNetworks, isIpv6Element, poolsOf } from '../common.ts';
import { Index } from './identity-index.ts';
import { LinkNetworks, type NetworkMember } from './link-networks.ts';
import { type FoundNumbers, LinkNumbers } from './link-numbers.ts';
import { type Membership, Memberships } from './memberships.ts';
import { type PortSetRanges, PortTable } from './port-table.ts';
import { IPSETS, type LinkList, linkSet, listOf, type MacList, macSet } from './sets.ts';

/** VNI of the system tenant, which is who gateways are. */
const SYSTEM_IDENTITY = 1;

/** Collections that have no form here: the guard says the same of answers; and no match looks into a VXLAN packet for a block. */
export const IGNORED: ReadonlySet<Collection> = new Set(['podAddress', 'vxlanBlock']);

export class Translator {
  readonly #blockLength: number;
  /** links that an identity may arrive on, and those it may meet, by list */
  readonly #overlays = new Index<string>();
  readonly #pairs = new Index<{ readonly list: LinkList; readonly link: string }>();
  readonly #networks = new LinkNetworks();
  readonly #ports = new PortTable();
  readonly #prefixes = {
    block: new Index<IpPrefix>(),
    network: new Index<IpPrefix>(),
    identity: new Index<IpPrefix>(),
  };
  readonly #guards = new Index<IpAddress>();
  /** links by what is said of all that comes out of them */
  readonly #marked = { internet: new Set<string>(), refused: new Set<string>() };
  readonly #numbers: LinkNumbers;
  readonly #memberships = new Memberships();

  private constructor(rules: RuleSetItem, found: FoundNumbers) {
    this.#numbers = new LinkNumbers(found);
    this.#blockLength = rules.blockPrefixLength.v4;
    for (const address of poolsOf(rules)) this.#memberships.add(IPSETS.pools, { address });
    for (const address of closedNetworks(rules)) this.#memberships.add(IPSETS.closed, { address });
  }

  /**
   * The members of a whole state.
   * @param found where links are kept already, so that they stay there
   * @returns undefined for a state without rules
   */
  static of(state: NodeState, found: FoundNumbers = new Map()): Translator | undefined {
    const rules = ruleSetOf(state);
    if (rules === undefined) return undefined;
    const translator = new Translator(rules, found);
    for (const item of state.values()) if (item.kind === 'element') translator.add(item);
    translator.takeChanges();
    return translator;
  }

  /** Every member there should be. */
  members(): Iterable<Membership> {
    return this.#memberships.all();
  }

  /** Names of all sets there should be: those that rules name, and those in lists. */
  sets(): ReadonlySet<string> {
    return new Set([...Object.values(IPSETS).map(({ name }) => name), ...this.#memberships.filledSets()]);
  }

  /** @param key {@link membershipKey} */
  has(key: string): boolean {
    return this.#memberships.has(key);
  }

  /** How many members a set should have. */
  count(set: string): number {
    return this.#memberships.count(set);
  }

  /** What changed since the last call: members to take out, and to put in. */
  takeChanges(): { readonly removed: readonly Membership[]; readonly added: readonly Membership[] } {
    this.#flush();
    return this.#memberships.takeChanges();
  }

  /** Port sets in use, with their ports. */
  portSets(): PortSetRanges {
    return this.#ports.all();
  }

  add(element: ElementItem): void {
    this.#change(element, true);
  }

  remove(element: ElementItem): void {
    this.#change(element, false);
  }

  #change(element: ElementItem, isAdded: boolean): void {
    if (isIpv6Element(element)) return;
    const { collection, fields, value = 0 } = element;
    const [first = '', second = '', third = ''] = fields.map(String);
    const put = this.#putter(isAdded);
    switch (collection) {
      case 'guard':
        this.#changeGuard(first, parseMac(second), parseIp(third), isAdded);
        break;
      case 'internet':
      case 'refused':
        for (const address of this.#guards.of(first)) put(IPSETS[collection], pair(hostPrefix(address), first));
        if (isAdded) this.#marked[collection].add(first);
        else this.#marked[collection].delete(first);
        break;
      case 'overlaySource':
        this.#changeOverlay(Number(second), first, isAdded);
        break;
      case 'egress':
      case 'ingress':
        this.#changePair(collection, Number(first), second, value, isAdded);
        break;
      case 'block':
        this.#changePrefix(collection, value, prefixOf(parseIp(first), this.#blockLength), isAdded);
        break;
      case 'network':
        this.#changePrefix(collection, value, parsePrefix(first), isAdded);
        break;
      case 'identity':
        if (value === SYSTEM_IDENTITY) put(IPSETS.system, { address: parseIp(first) });
        this.#changePrefix(collection, value, hostPrefix(parseIp(first)), isAdded);
        break;
      case 'crowded':
        put(IPSETS.crowded, { address: prefixOf(parseIp(first), 1) });
        break;
      case 'node':
        put(IPSETS.node, { address: parseIp(first) });
        break;
      case 'vxlanRouted':
        put(IPSETS.vxlanRouted, { address: parseIp(first) });
        break;
      case 'vxlanPeer':
        this.#putMac(isAdded, 'vxlanPeers', parseIp(first), parseMac(second));
        break;
      case 'vxlanSystem':
        // Overlay links of a node have a MAC by its address, which VXLAN packets are held to before.
        this.#putMac(isAdded, 'gateways', parseIp(second), parseMac(macOf(parseIp(first))));
        break;
      case 'exception':
        put(IPSETS.exception, { address: parseIp(first), protocol: Number(second), port: Number(third) });
        break;
      case 'podAddress':
      case 'vxlanBlock':
        break;
      default:
        this.#changeSized(element, isAdded);
    }
  }

  /** Collections with a size in their names. */
  #changeSized({ collection, fields, value = PORT_SET.none }: ElementItem, isAdded: boolean): void {
    const [kind = '', bits = ''] = collection.split('/');
    if (kind === 'port') {
      const [portSet = 0, protocol = 0, port = 0] = fields.map(Number);
      this.#ports.change(portSet, protocol, port, Number(bits), isAdded);
      return;
    }
    const [link = '', base = ''] = fields.map(String);
    const direction = kind === 'egressNet' ? 'egress' : 'ingress';
    this.#networks.change(direction, link, parsePrefix(`${base}/${bits}`), isAdded ? value : undefined);
  }

  #changeGuard(link: string, mac: MacAddress, address: IpAddress, isAdded: boolean): void {
    const put = this.#putter(isAdded);
    const member = pair(hostPrefix(address), link);
    put(IPSETS.pod, member);
    if (mac !== macOf(address)) {
      put(IPSETS.ownMac, member);
      this.#putMac(isAdded, 'macs', address, mac);
    }
    for (const mark of ['internet', 'refused'] as const) if (this.#marked[mark].has(link)) put(IPSETS[mark], member);
    // by both, for while a container's MAC changes its link has the address twice
    const key = `${mac} ${address}`;
    if (isAdded) this.#guards.set(link, key, address);
    else this.#guards.delete(link, key);
  }

  #changeOverlay(identity: number, link: string, isAdded: boolean): void {
    const { block, identity: exact } = this.#prefixes;
    for (const prefixes of [block, exact]) {
      for (const prefix of prefixes.of(identity)) this.#putPair(isAdded, 'overlay', prefix, link);
    }
    if (isAdded) this.#overlays.set(identity, link, link);
    else this.#overlays.delete(identity, link);
  }

  /** Identity 0 is all that is beyond the cluster: any network. */
  #changePair(
    direction: 'egress' | 'ingress',
    identity: number,
    link: string,
    portSet: number,
    isAdded: boolean,
  ): void {
    if (identity === 0) {
      this.#networks.changeAnybody(direction, link, isAdded ? portSet : undefined);
      return;
    }
    const { network, identity: exact } = this.#prefixes;
    for (const list of listsOf(direction, portSet)) {
      for (const prefixes of [network, exact]) {
        for (const prefix of prefixes.of(identity)) this.#putPair(isAdded, list, prefix, link);
      }
      const key = `${list} ${link}`;
      if (isAdded) this.#pairs.set(identity, key, { list, link });
      else this.#pairs.delete(identity, key);
    }
  }

  #changePrefix(kind: 'block' | 'network' | 'identity', identity: number, prefix: IpPrefix, isAdded: boolean): void {
    if (kind !== 'network') {
      for (const link of this.#overlays.of(identity)) this.#putPair(isAdded, 'overlay', prefix, link);
    }
    if (kind !== 'block') {
      for (const { list, link } of this.#pairs.of(identity)) this.#putPair(isAdded, list, prefix, link);
    }
    if (isAdded) this.#prefixes[kind].set(identity, prefix, prefix);
    else this.#prefixes[kind].delete(identity, prefix);
  }

  /** A pair belongs in one of the sets of its list, which is in the list while it has any. */
  #putPair(isAdded: boolean, list: LinkList, prefix: IpPrefix, link: string, nomatch = false): void {
    const put = this.#putter(isAdded);
    const number = isAdded ? this.#numbers.take(list, link, prefix) : this.#numbers.release(list, link, prefix);
    const set = linkSet(list, number);
    put(set, nomatch ? { ...pair(prefix, link), nomatch } : pair(prefix, link));
    put(listOf(list), { set: set.name });
  }

  /** What links are allowed by network is a whole for each link: worked out once all of a change has been told. */
  #flush(): void {
    const { removed, added } = this.#networks.takeChanges();
    const put =
      (isAdded: boolean) =>
      ({ list, prefix, link, nomatch }: NetworkMember) =>
        this.#putPair(isAdded, list, prefix, link, nomatch);
    removed.forEach(put(false));
    added.forEach(put(true));
  }

  #putMac(isAdded: boolean, list: MacList, address: IpAddress, mac: MacAddress): void {
    const put = this.#putter(isAdded);
    const set = macSet(list, address);
    put(set, { address, mac });
    put(IPSETS[list], { set: set.name });
  }

  #putter(isAdded: boolean): (set: IpsetSpec, member: IpsetMember) => void {
    return isAdded
      ? (set, member) => this.#memberships.add(set, member)
      : (set, member) => this.#memberships.drop(set, member);
  }
}

/** A pair that may meet at some ports is in two lists: the first says where networks may allow more. */
function listsOf(direction: 'egress' | 'ingress', portSet: number): LinkList[] {
  if (portSet === PORT_SET.all) return [direction];
  if (portSet === PORT_SET.none) return [`${direction}-some`];
  return [`${direction}-some`, `${direction}-p${portSet}`];
}

function pair(address: IpPrefix, link: string): IpsetMember {
  return { address, link };
}

/** The MAC that a container has by its address where it asked for none, and a node's overlay links by the node's. */
function macOf(address: IpAddress): string {
  return `0a:58:${Array.from(ipToBytes(address), (byte) => byte.toString(16).padStart(2, '0')).join(':')}`;
}
