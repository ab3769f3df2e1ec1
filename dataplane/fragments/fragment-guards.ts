/**
 * The program at the ingress of every pod link that bounds what pods' fragments take of the node's memory for datagrams that are not
 * complete (fragments/program.ts), on either backend; and what it has to know of each pod: its number, its source, its group. Groups are
 * what blocks of addresses belong to. An overlay link counts as one more pod of its tenant, for on the way from other nodes parts get
 * lost. The maps are this process's: programs that a former one left are replaced.
 */
import { readFileSync } from 'node:fs';
import { type IpAddress, parseIp, parseMac, prefixBase, prefixOf } from '../address.ts';
import { isIpv6Element } from '../backends/common.ts';
import { encodeReplaceLoaded } from '../codecs/rtnetlink/filter.ts';
import { RtBatch, type Rtnetlink } from '../codecs/rtnetlink/rtnetlink.ts';
import type { Change } from '../diff.ts';
import { ERRNO, isErrno } from '../errors.ts';
import { type LinkPlace, prepareLinks } from '../links/filter-place.ts';
import { FRAGMENT_PROGRAM } from '../ownership.ts';
import { type Item, itemKey, type NodeState, ruleSetOf } from '../state.ts';
import {
  attachAtIngress,
  type BpfMap,
  type BpfMapSpec,
  canAttach,
  createMap,
  type LoadedProgram,
  loadClassifier,
} from '../system/bpf.ts';
import { linkIndex } from '../system/libc.ts';
import {
  ACCOUNT_SIZE,
  DATAGRAM,
  groupOf,
  MAPS,
  type MapName,
  POD,
  type PodSource,
  podValue,
  refusedOf,
  SOURCE,
  sourceKey,
  wordKey,
} from './layout.ts';
import { type FragmentBounds, fragmentProgram } from './program.ts';

/** Of the node's memory for datagrams that are not complete, pods may take so much: the rest is for what comes from elsewhere. */
const SHARE = 0.75;
/** The VNI of no tenant: pods whose block is not known. */
const NO_GROUP = 0;
const MANY = 65_536;

const SPECS: Readonly<Record<MapName, Omit<BpfMapSpec, 'name'>>> = {
  pods: { type: 'hash', keySize: 4, valueSize: POD.size, maxEntries: MANY },
  groups: { type: 'hash', keySize: 4, valueSize: ACCOUNT_SIZE, maxEntries: MANY },
  pool: { type: 'array', keySize: 4, valueSize: ACCOUNT_SIZE, maxEntries: 1 },
  sources: { type: 'hash', keySize: SOURCE.key, valueSize: SOURCE.size, maxEntries: MANY },
  // One that has no room any more is counted to the end.
  datagrams: { type: 'leastRecentlyUsed', keySize: DATAGRAM.key, valueSize: DATAGRAM.size, maxEntries: 16_384 },
};

export interface FragmentGuardsOptions {
  /** what the kernel's settings say, unless given */
  readonly bounds?: FragmentBounds;
  /** hang on a queueing discipline, as kernels before Linux 6.6 need it */
  readonly byFilter?: boolean;
}

/** Or an overlay link, which has no source of its own. */
interface Pod {
  /** whose overlay link it is, if it is one */
  vni: number | undefined;
  /** by the element's key */
  readonly sources: Map<string, PodSource>;
  /** what is in the kernel */
  written: { readonly index: number; readonly group: number; readonly keys: readonly Uint8Array[] } | undefined;
}

export class FragmentGuards {
  readonly #rtnetlink: Rtnetlink;
  readonly #maps: Readonly<Record<MapName, BpfMap>>;
  readonly #program: LoadedProgram;
  readonly #byFilter: boolean;
  readonly #pods = new Map<string, Pod>();
  /** links by the key of the block that their addresses are in */
  readonly #blocks = new Map<string, Set<string>>();
  readonly #changed = new Set<string>();
  /** how many pods are in each */
  readonly #groups = new Map<number, number>();
  /** numbers of links that have what filters hang on */
  readonly #prepared = new Set<number>();

  /** @throws KernelError where the kernel has no such programs @param rtnetlink stays the caller's to close */
  constructor(rtnetlink: Rtnetlink, { bounds = kernelBounds(), byFilter = !canAttach() }: FragmentGuardsOptions = {}) {
    this.#rtnetlink = rtnetlink;
    this.#byFilter = byFilter;
    const made: BpfMap[] = [];
    try {
      const maps = MAPS.map((name) => {
        const map = createMap({ name: `tenet_${name}`, ...SPECS[name] });
        made.push(map);
        return [name, map] as const;
      });
      this.#maps = Object.fromEntries(maps) as Record<MapName, BpfMap>;
      const fds = Object.fromEntries(maps.map(([name, { fd }]) => [name, fd])) as Record<MapName, number>;
      this.#program = loadClassifier(fragmentProgram(fds, bounds), FRAGMENT_PROGRAM);
    } catch (error) {
      for (const map of made) map.close();
      throw error;
    }
  }

  /** Wants what a state says, and writes all of it. @throws KernelError */
  reset(state: NodeState): void {
    for (const [link, pod] of this.#pods) {
      pod.sources.clear();
      pod.vni = undefined;
      this.#changed.add(link);
    }
    this.#blocks.clear();
    for (const item of state.values()) this.#add(item, state);
    this.#write(state);
  }

  /** Follows changes before they are made: a link that comes is bounded before it goes up. @throws KernelError */
  follow(changes: readonly Change[], state: NodeState): void {
    if (changes.some(({ item }) => item.kind === 'ruleSet')) {
      // Blocks may be of another size.
      this.reset(state);
      return;
    }
    for (const { item, op } of changes) {
      if (op === 'remove') this.#remove(item);
      else this.#add(item, state);
      if (item.kind === 'element' && item.collection === 'block')
        for (const link of this.#blocks.get(itemKey(item)) ?? []) this.#changed.add(link);
    }
    this.#write(state);
  }

  /** Follows what has been made: new overlay links have numbers now. @throws KernelError */
  followLinks(changes: readonly Change[], state: NodeState): void {
    for (const { item } of changes) if (item.kind === 'overlayLink') this.#changed.add(item.name);
    this.#write(state);
  }

  /** Once more, for links that may have lost their programs. @throws KernelError */
  attach(): void {
    this.#prepared.clear();
    const links = [...this.#pods].flatMap(([link, { written }]) => (written ? [{ link, index: written.index }] : []));
    this.#attach(links);
  }

  /** Fragments refused so far, by pod link. @throws KernelError */
  refused(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const [link, { written }] of this.#pods) {
      const value = written && this.#maps.pods.find(wordKey(written.index));
      if (value !== undefined) counts.set(link, refusedOf(value));
    }
    return counts;
  }

  /** Links keep their programs. */
  close(): void {
    this.#program.close();
    for (const name of MAPS) this.#maps[name].close();
  }

  #add(item: Item, state: NodeState): void {
    if (item.kind === 'podLink') this.#changed.add(item.name);
    if (item.kind === 'overlayLink') this.#setOverlay(item.name, item.vni);
    if (item.kind !== 'element' || item.collection !== 'guard' || isIpv6Element(item)) return;
    const [link = '', mac = '', text = ''] = item.fields.map(String);
    const address = parseIp(text);
    this.#known(link).sources.set(itemKey(item), { mac: parseMac(mac), address });
    const block = blockOf(address, state);
    if (block !== undefined) this.#blocks.set(block, (this.#blocks.get(block) ?? new Set()).add(link));
    this.#changed.add(link);
  }

  #setOverlay(link: string, vni: number | undefined): void {
    this.#known(link).vni = vni;
    this.#changed.add(link);
  }

  #known(link: string): Pod {
    const pod = this.#pods.get(link) ?? { vni: undefined, sources: new Map<string, PodSource>(), written: undefined };
    this.#pods.set(link, pod);
    return pod;
  }

  #remove(item: Item): void {
    if (item.kind === 'overlayLink') this.#setOverlay(item.name, undefined);
    if (item.kind !== 'element' || item.collection !== 'guard') return;
    const link = String(item.fields[0]);
    this.#pods.get(link)?.sources.delete(itemKey(item));
    this.#changed.add(link);
  }

  #write(state: NodeState): void {
    const attached: LinkPlace[] = [];
    for (const link of this.#changed) {
      const pod = this.#pods.get(link);
      if (pod === undefined) continue;
      const index = linkIndex(link);
      const before = pod.written;
      pod.written = undefined;
      const isWanted = pod.sources.size > 0 || pod.vni !== undefined;
      if (index !== undefined && isWanted) {
        pod.written = this.#writePod(index, pod, state);
        attached.push({ link, index });
      }
      if (before !== undefined) this.#forget(before, pod.written);
      if (!isWanted) this.#dropPod(link);
    }
    this.#attach(attached);
    this.#changed.clear();
  }

  #writePod(index: number, { vni, sources }: Pod, state: NodeState): NonNullable<Pod['written']> {
    const { pods, groups, sources: known } = this.#maps;
    const group = vni ?? groupOfSources(sources.values(), state);
    this.#groups.set(group, (this.#groups.get(group) ?? 0) + 1);
    if (groups.find(wordKey(group)) === undefined) groups.put(wordKey(group), new Uint8Array(ACCOUNT_SIZE));
    const before = pods.find(wordKey(index));
    if (before === undefined || groupOf(before) !== group)
      pods.put(wordKey(index), podValue(group, vni !== undefined, before));
    const keys = [...sources.values()].map((source) => sourceKey(index, source));
    for (const key of keys) known.put(key, new Uint8Array(SOURCE.size));
    return { index, group, keys };
  }

  /** What was written before and is no more. */
  #forget(before: NonNullable<Pod['written']>, now: Pod['written']): void {
    const kept = new Set(now?.keys.map(String));
    for (const key of before.keys) if (!kept.has(String(key))) this.#maps.sources.remove(key);
    if (before.index !== now?.index) this.#maps.pods.remove(wordKey(before.index));
    const left = (this.#groups.get(before.group) ?? 1) - 1;
    if (left > 0) this.#groups.set(before.group, left);
    else {
      this.#groups.delete(before.group);
      this.#maps.groups.remove(wordKey(before.group));
    }
  }

  #dropPod(link: string): void {
    this.#pods.delete(link);
    for (const [block, links] of this.#blocks) if (links.delete(link) && links.size === 0) this.#blocks.delete(block);
  }

  #attach(links: readonly LinkPlace[]): void {
    if (this.#byFilter) {
      this.#attachFilters(links);
      return;
    }
    for (const { index } of links) {
      try {
        attachAtIngress(index, this.#program, FRAGMENT_PROGRAM);
      } catch (error) {
        // It has just gone.
        if (!isErrno(error, ERRNO.ENODEV)) throw error;
      }
    }
  }

  #attachFilters(links: readonly LinkPlace[]): void {
    const batch = new RtBatch();
    const bare = links.filter(({ index }) => !this.#prepared.has(index));
    prepareLinks(batch, this.#rtnetlink, bare);
    // After the iptables backend's own, whose place is the first.
    const program = { place: 'ingress', fd: this.#program.fd, name: FRAGMENT_PROGRAM, priority: 2 } as const;
    for (const { link, index } of links) {
      const encode = (out: RtBatch['out']) => encodeReplaceLoaded(out, index, program);
      batch.add('RTM_NEWTFILTER', `ingress filter dev ${link}`, encode, [ERRNO.ENODEV]);
    }
    this.#rtnetlink.sendAll(batch);
    for (const { index } of bare) this.#prepared.add(index);
  }
}

/** Of any of them: a pod's addresses are in blocks of one tenant. */
function groupOfSources(sources: Iterable<PodSource>, state: NodeState): number {
  for (const { address } of sources) {
    const item = state.get(blockOf(address, state) ?? '');
    if (item?.kind === 'element' && item.value !== undefined) return item.value;
  }
  return NO_GROUP;
}

/** The key of the element that says whose block an address is in. */
function blockOf(address: IpAddress, state: NodeState): string | undefined {
  const length = ruleSetOf(state)?.blockPrefixLength.v4;
  if (length === undefined) return undefined;
  return itemKey({ kind: 'element', collection: 'block', fields: [prefixBase(prefixOf(address, length))] });
}

/** Of this thread's network namespace. */
function kernelBounds(): FragmentBounds {
  const setting = (name: string) => Number(readFileSync(`/proc/sys/net/ipv4/ipfrag_${name}`, 'utf8'));
  return { bytes: Math.floor(setting('high_thresh') * SHARE), seconds: setting('time') };
}
