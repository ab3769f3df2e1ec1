/**
 * What pods may meet by network, as members of sets: one list of sets for each port set, in which the longest prefix counts only among
 * its own members. So a network is in its port set's list, and an exception in the lists of larger ones around it. Single addresses and
 * what is meant for everywhere have lists of their own, which many links can share. Pure.
 */
import { type IpPrefix, parsePrefix } from '../../address.ts';
import { NET_BITS, PORT_SET } from '../../state.ts';
import type { LinkList } from './sets.ts';

export interface NetworkMember {
  readonly list: LinkList;
  readonly prefix: IpPrefix;
  readonly link: string;
  readonly nomatch: boolean;
}

/** Of one link, in one direction. */
interface Networks {
  /** port set of all that is beyond the cluster */
  anybody: number | undefined;
  /** port sets */
  readonly of: Map<IpPrefix, number>;
  /** as told last */
  written: ReadonlyMap<string, NetworkMember>;
}

const EVERYWHERE = parsePrefix('0.0.0.0/0');

export class LinkNetworks {
  readonly #links = new Map<string, Networks>();
  readonly #dirty = new Set<string>();

  /** @param portSet undefined: no such network */
  change(direction: 'egress' | 'ingress', link: string, prefix: IpPrefix, portSet: number | undefined): void {
    const { of } = this.#of(direction, link);
    if (portSet === undefined) of.delete(prefix);
    else of.set(prefix, portSet);
  }

  changeAnybody(direction: 'egress' | 'ingress', link: string, portSet: number | undefined): void {
    this.#of(direction, link).anybody = portSet;
  }

  takeChanges(): { readonly removed: readonly NetworkMember[]; readonly added: readonly NetworkMember[] } {
    const removed: NetworkMember[] = [];
    const added: NetworkMember[] = [];
    for (const key of this.#dirty) {
      const networks = this.#links.get(key);
      if (networks === undefined) continue;
      const [direction = '', link = ''] = key.split(' ');
      const wanted = new Map([...members(direction as 'egress', link, networks)].map((each) => [keyOf(each), each]));
      for (const [name, each] of networks.written) if (!wanted.has(name)) removed.push(each);
      for (const [name, each] of wanted) if (!networks.written.has(name)) added.push(each);
      networks.written = wanted;
      if (networks.anybody === undefined && networks.of.size === 0) this.#links.delete(key);
    }
    this.#dirty.clear();
    return { removed, added };
  }

  #of(direction: 'egress' | 'ingress', link: string): Networks {
    const key = `${direction} ${link}`;
    const known = this.#links.get(key) ?? { anybody: undefined, of: new Map(), written: new Map() };
    this.#links.set(key, known);
    this.#dirty.add(key);
    return known;
  }
}

function* members(direction: 'egress' | 'ingress', link: string, { anybody, of }: Networks): Generator<NetworkMember> {
  const member = (list: LinkList, prefix: IpPrefix, nomatch = false) => ({ list, prefix, link, nomatch });
  if (anybody !== undefined && anybody !== PORT_SET.none) yield member(`${direction}-a${anybody}`, EVERYWHERE);
  const networks = Array.from(of, ([prefix, portSet]) => ({ prefix, portSet, ...parse(prefix) }));
  const byBase = new Map(networks.map(({ base, bits, portSet }) => [nameOf(base, bits), portSet]));
  for (const { prefix, portSet, base, bits } of networks) {
    if (portSet === PORT_SET.all && bits === 32) yield member(`${direction}-hosts`, prefix);
    else if (portSet !== PORT_SET.none) yield member(`${direction}-n${portSet}`, prefix);
    // At most so many are around it as there are lengths, however many networks there are.
    const around = NET_BITS.map((length) => (length < bits ? byBase.get(nameOf(base, length)) : undefined));
    for (const other of new Set(around)) {
      if (other !== undefined && other !== portSet && other !== PORT_SET.none)
        yield member(`${direction}-n${other}`, prefix, true);
    }
  }
}

function parse(prefix: IpPrefix): { readonly base: number; readonly bits: number } {
  const [address = '', bits = ''] = prefix.split('/');
  return { base: address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0), bits: Number(bits) };
}

/** The same for every address of a network. */
function nameOf(address: number, bits: number): string {
  return `${Math.floor(address / 2 ** (32 - bits))}/${bits}`;
}

function keyOf({ list, prefix, nomatch }: NetworkMember): string {
  return `${list} ${prefix} ${nomatch}`;
}
