/**
 * The iptables backend's first guard and its last, at each pod link: a program at the ingress that passes the pod's own source and nothing
 * else, for iptables itself sees fragments only once they have been put together, from whatever links they came; and one at the egress
 * that passes what a rule of ours has admitted, for of a packet that others accepted ahead of us iptables sees nothing.
 */
import { parseIp, parseMac } from '../../address.ts';
import { encodeDelClsact, encodeReplaceFilter, encodeReplaceLoaded } from '../../codecs/rtnetlink/filter.ts';
import type { NeighbourSpec } from '../../codecs/rtnetlink/neighbour.ts';
import { RtBatch, type Rtnetlink } from '../../codecs/rtnetlink/rtnetlink.ts';
import { ERRNO, isErrno } from '../../errors.ts';
import { holding, permanentNeighbours, prepare } from '../../links/filter-place.ts';
import { type ElementItem, type Item, itemKey, type NodeState } from '../../state.ts';
import type { LoadedProgram } from '../../system/bpf.ts';
import { linkIndex } from '../../system/libc.ts';
import { isIpv6Element } from '../common.ts';
import { type LinkSource, linkProgram } from './link-program.ts';

/** As `tc filter show` names it. */
const ADMISSION_NAME = 'tenet-admitted';

export class LinkGuards {
  readonly #rtnetlink: Rtnetlink;
  /** sources by link, and of each by the element's key */
  #sources = new Map<string, Map<string, LinkSource>>();
  readonly #changed = new Set<string>();
  /** links that have what filters hang on, by index */
  readonly #prepared = new Set<number>();
  readonly #admission: LoadedProgram | undefined;
  /** links whose egress may not have its program yet */
  readonly #unsealed = new Set<string>();

  /**
   * @param rtnetlink stays the caller's to close, and so does `admission`
   * @param admission for the egress; none where the kernel does not load it
   */
  constructor(rtnetlink: Rtnetlink, admission: LoadedProgram | undefined) {
    this.#rtnetlink = rtnetlink;
    this.#admission = admission;
  }

  /** Wants what a state says, and nothing else. */
  reset(state: NodeState): void {
    this.#sources = new Map();
    this.#prepared.clear();
    this.#changed.clear();
    this.#unsealed.clear();
    for (const item of state.values()) this.add(item);
  }

  /** To be followed by {@link write}; items that are no guards are ignored. */
  add(item: Item): void {
    if (!isGuard(item)) return;
    const [link = '', mac = '', address = ''] = item.fields.map(String);
    const sources = this.#sources.get(link) ?? new Map<string, LinkSource>();
    sources.set(itemKey(item), { mac: parseMac(mac), address: parseIp(address) });
    this.#sources.set(link, sources);
    this.#changed.add(link);
    this.#unsealed.add(link);
  }

  remove(item: Item): void {
    if (!isGuard(item)) return;
    const link = String(item.fields[0]);
    const sources = this.#sources.get(link);
    sources?.delete(itemKey(item));
    // The last one's program stays, for it passes less than none would: the link goes next.
    if (sources?.size === 0) this.#sources.delete(link);
    this.#changed.add(link);
  }

  /**
   * Programs at the ingress of changed links. A link that is not there gets its own when it comes: its guards come with it.
   * @throws KernelError
   */
  write(): void {
    const batch = new RtBatch();
    for (const link of this.#changed) {
      const index = linkIndex(link);
      const program = this.#programOf(link);
      if (index === undefined || program === undefined) continue;
      if (!this.#prepared.has(index)) prepare(batch, { link, index }, this.#neighboursOf(link, index));
      this.#prepared.add(index);
      const filter = (out: RtBatch['out']) => encodeReplaceFilter(out, index, program);
      batch.add('RTM_NEWTFILTER', `ingress filter dev ${link}`, filter, [ERRNO.ENODEV]);
    }
    this.#rtnetlink.sendAll(batch);
    this.#changed.clear();
  }

  /** Programs at the egress of links that are new: to be called once the rules that admit stand. @throws KernelError */
  seal(): void {
    const batch = new RtBatch();
    const { fd } = this.#admission ?? {};
    for (const link of this.#unsealed) {
      const index = linkIndex(link);
      if (index === undefined || fd === undefined) continue;
      const program = { place: 'egress', fd, name: ADMISSION_NAME } as const;
      const filter = (out: RtBatch['out']) => encodeReplaceLoaded(out, index, program);
      batch.add('RTM_NEWTFILTER', `egress filter dev ${link}`, filter, [ERRNO.ENODEV]);
    }
    this.#rtnetlink.sendAll(batch);
    this.#unsealed.clear();
  }

  /** Has every link that is there the programs it should have, before all others? */
  areIntact(): boolean {
    return [...this.#sources.keys()].every((link) => {
      const index = linkIndex(link);
      return index === undefined || this.#isIntact(link, index);
    });
  }

  /** @param links names of pod links */
  removeFrom(links: readonly string[]): void {
    const batch = new RtBatch();
    const neighbours = permanentNeighbours(this.#rtnetlink);
    for (const link of links) {
      const index = linkIndex(link);
      if (index === undefined) continue;
      // Without one the kernel says EINVAL or ENOENT, by its version.
      const ignored = [ERRNO.EINVAL, ERRNO.ENOENT, ERRNO.ENODEV];
      const here = neighbours.filter(({ linkIndex: at }) => at === index);
      holding(batch, link, here, () =>
        batch.add('RTM_DELQDISC', `clsact dev ${link}`, (out) => encodeDelClsact(out, index), ignored),
      );
    }
    this.#rtnetlink.sendAll(batch);
    this.#prepared.clear();
  }

  #isIntact(link: string, index: number): boolean {
    try {
      const [first] = this.#rtnetlink.filters(index, 'ingress');
      const wanted = this.#programOf(link);
      if (first === undefined || wanted === undefined || Buffer.compare(first.program, wanted) !== 0) return false;
      return this.#admission === undefined || this.#rtnetlink.filters(index, 'egress')[0]?.tag === this.#admission.tag;
    } catch (error) {
      // Nothing for filters to hang on, or the link has just gone.
      if (isErrno(error, ERRNO.EINVAL, ERRNO.ENOENT, ERRNO.ENODEV)) return false;
      throw error;
    }
  }

  /** A pod's only source is its link's only neighbour. */
  #neighboursOf(link: string, linkIndex: number): readonly NeighbourSpec[] {
    return [...(this.#sources.get(link)?.values() ?? [])].map((source) => ({ linkIndex, ...source }));
  }

  #programOf(link: string): Uint8Array | undefined {
    const sources = this.#sources.get(link);
    return sources && linkProgram([...sources.values()]);
  }
}

function isGuard(item: Item): item is ElementItem {
  return item.kind === 'element' && item.collection === 'guard' && !isIpv6Element(item);
}
