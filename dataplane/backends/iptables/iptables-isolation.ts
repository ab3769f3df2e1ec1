/**
 * The iptables backend: fixed rules, written by iptables-restore once, over ipsets whose members come and go by netlink. Neither has a
 * transaction over all, so order is what keeps a change safe (membership-order.ts). Not all that others change
 * is told by the kernel, so both are looked at from time to time.
 */
import { existsSync } from 'node:fs';
import type { Ipset, IpsetChange, IpsetDump, IpsetSpec } from '../../codecs/ipset/ipset.ts';
import type { Rtnetlink } from '../../codecs/rtnetlink/rtnetlink.ts';
import type { Change } from '../../diff.ts';
import { ERRNO, KernelError } from '../../errors.ts';
import { isPodLink } from '../../ownership.ts';
import { type Collection, type Item, itemKey, type NodeState, type RuleSetItem, ruleSetOf } from '../../state.ts';
import type { LoadedProgram } from '../../system/bpf.ts';
import { Xtables, type XtablesVariant } from '../../system/xtables.ts';
import type { IsolationBackend } from '../isolation-backend.ts';
import type { TableRules } from './chain-rules.ts';
import { LinkGuards } from './link-guards.ts';
import { foundKey } from './link-numbers.ts';
import { isEntry, ordered } from './membership-order.ts';
import { type Membership, membershipKey } from './memberships.ts';
import type { PortSetRanges } from './port-table.ts';
import { compileIpv4, compileIpv6 } from './rules.ts';
import { isIntact, parseSaved, restoreInput } from './saved.ts';
import { IPSETS, linkSetPlace, portSetLists, SET_PREFIX } from './sets.ts';
import { IGNORED, Translator } from './translator.ts';

export interface IptablesIsolationOptions {
  readonly variant?: XtablesVariant;
  /** what hangs at pod links' egress; none where the kernel does not load it; closed with the backend */
  readonly admission?: LoadedProgram | undefined;
  /** members that a set of ours can hold at first; tests have few */
  readonly maxElements?: number;
  /** how often what the kernel does not tell of is looked at */
  readonly checkMs?: number;
  /** the number of the state that nf_tables' rule set is in; absent where the kernel has no nf_tables */
  readonly generation?: () => number;
}

/** A foreign change is put right within 5 s. */
const CHECK_MS = 2_000;
/** The kernel waits some 20 ms for readers of a set that goes, and this thread with it. */
const DESTROY_MS = 60;
/** Larger sets are compared by their number of members alone: reading one takes the main thread too long. */
const COMPARED_MEMBERS = 10_000;

/** One family's program, with the rules it is to have. */
interface Family {
  readonly family: 4 | 6;
  readonly xtables: Xtables;
  readonly compile: (rules: RuleSetItem, portSets: PortSetRanges) => TableRules[];
}

/** What is in the kernel: rules for these port sets, and the sets' members. */
interface Current {
  readonly rules: RuleSetItem;
  readonly translator: Translator;
  portSets: PortSetRanges;
}

export class IptablesIsolation implements IsolationBackend {
  readonly name = 'iptables';
  readonly ignores: ReadonlySet<Collection> = IGNORED;
  readonly #ipset: Ipset;
  readonly #guards: LinkGuards;
  readonly #rtnetlink: Rtnetlink;
  readonly #families: readonly Family[];
  readonly #options: IptablesIsolationOptions;
  /** what is in the kernel, as far as this process knows */
  #current: Current | undefined;
  /** of each set: the members it can hold */
  readonly #capacity = new Map<string, number>();
  /** empty sets that nothing refers to any more: the kernel takes its time over each, so they go one by one */
  readonly #unused = new Set<string>();
  #destroyTimer: NodeJS.Timeout | undefined;
  /** whose turn it is to be compared member by member */
  #turn = 0;
  /** where rules are nf_tables': the last state in which they were all there */
  #intactAt: { readonly generation: number; readonly portSets: PortSetRanges } | undefined;
  #isNft: boolean | undefined;

  /** @param ipset stays the caller's to close, and so does `rtnetlink` */
  constructor(ipset: Ipset, rtnetlink: Rtnetlink, options: IptablesIsolationOptions = {}) {
    this.#ipset = ipset;
    this.#rtnetlink = rtnetlink;
    this.#guards = new LinkGuards(rtnetlink, options.admission);
    this.#options = options;
    const { variant } = options;
    const ipv6: Family = { family: 6, xtables: new Xtables(6, variant), compile: compileIpv6 };
    this.#families = [
      { family: 4, xtables: new Xtables(4, variant), compile: compileIpv4 },
      // A kernel without IPv6 has no such file.
      ...(existsSync('/proc/net/if_inet6') ? [ipv6] : []),
    ];
  }

  /**
   * Reads everything of ours back. A member does not say which elements it is there for: either all is as wanted, or the rules are
   * reported missing, and writing them writes what differs.
   */
  observe(desired: NodeState): Map<string, Item> {
    const items = new Map<string, Item>();
    this.#current = undefined;
    const rules = ruleSetOf(desired);
    const found = this.#ipset.list(SET_PREFIX);
    const translator = Translator.of(desired, placesIn(found));
    if (rules === undefined || translator === undefined) return items;
    for (const [key, item] of desired) if (item.kind === 'element') items.set(key, item);
    this.#remember(found);
    const portSets = translator.portSets();
    const { added, removed, stray } = differences(found, translator, wantedSets(translator, portSets));
    for (const name of this.#unused) if (stray.includes(name)) stray.splice(stray.indexOf(name), 1);
    this.#guards.reset(desired);
    const sameMembers = added.length + removed.length + stray.length === 0;
    if (
      sameMembers &&
      this.#guards.areIntact() &&
      this.#families.every((family) => areThere(family.xtables.save(), family.compile(rules, portSets)))
    ) {
      items.set(itemKey(rules), rules);
      this.#current = { rules, translator, portSets };
    }
    return items;
  }

  /** @throws KernelError naming the object refused; some changes may have been made then */
  apply(changes: readonly Change[], desired: NodeState): void {
    const isolation = changes.filter(({ item }) => item.kind === 'element' || item.kind === 'ruleSet');
    if (isolation.length === 0) return;
    const current = this.#current;
    this.#current = undefined;
    const ruleSet = isolation.find(({ item, op }) => item.kind === 'ruleSet' && op !== 'remove')?.item;
    if (ruleSet?.kind === 'ruleSet') this.#current = this.#writeAll(ruleSet, desired);
    else if (current === undefined) throw new KernelError('apply', 'rules of iptables', ERRNO.ENOENT);
    else {
      const { translator } = current;
      for (const change of isolation) {
        if (change.op === 'replace' && change.previous.kind === 'element') translator.remove(change.previous);
        if (change.item.kind !== 'element') continue;
        const { item } = change;
        for (const each of [translator, this.#guards]) change.op === 'remove' ? each.remove(item) : each.add(item);
      }
      this.#guards.write();
      this.#guards.seal();
      const { removed, added } = translator.takeChanges();
      const portSets = translator.portSets();
      const both = new Map([...current.portSets, ...portSets]);
      this.#writePortRules(current, both);
      this.#write(removed, added, { translator, portSets: both });
      this.#writePortRules(current, portSets);
      this.#current = current;
    }
  }

  /** Rules for port sets come before what is in their lists, and go after it. A number always stands for the same ports. */
  #writePortRules(current: Current, portSets: PortSetRanges): void {
    const isSame =
      portSets.size === current.portSets.size && [...portSets.keys()].every((n) => current.portSets.has(n));
    if (isSame) return;
    const lists = (some: Iterable<number>) => [...some].flatMap(portSetLists);
    for (const list of lists(portSets.keys()))
      if (!this.#unused.delete(list.name) && !this.#capacity.has(list.name)) this.#create(list);
    for (const { family, xtables, compile } of this.#families)
      if (family === 4) writeRules(xtables, compile(current.rules, portSets));
    const gone = [...current.portSets.keys()].filter((number) => !portSets.has(number));
    for (const { name } of lists(gone)) this.#unused.add(name);
    this.#destroyUnused();
    current.portSets = portSets;
  }

  #destroyUnused(): void {
    if (this.#unused.size === 0 || this.#destroyTimer !== undefined) return;
    this.#destroyTimer = setTimeout(() => {
      this.#destroyTimer = undefined;
      const [name] = this.#unused;
      if (name === undefined) return;
      this.#unused.delete(name);
      try {
        this.#destroy(name);
      } catch {
        // Another program holds it: the next start looks at all that is there.
      }
      this.#destroyUnused();
    }, DESTROY_MS).unref();
  }

  refused(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { link = '', packets = 0 } of this.#ipset.find(IPSETS.refused.name)?.members ?? [])
      counts.set(link, (counts.get(link) ?? 0) + packets);
    return counts;
  }

  /** Rules of ours never are without sets of ours. */
  exists(): boolean {
    return this.#ipset.headers(SET_PREFIX).length > 0;
  }

  remove(): void {
    this.#current = undefined;
    this.#unused.clear();
    // Links ask for what only the rules give.
    this.#guards.removeFrom(this.#rtnetlink.links().flatMap(({ name }) => (isPodLink(name) ? [name] : [])));
    for (const { xtables } of this.#families) writeRules(xtables, []);
    this.#removeFromOther();
    const lists = (spec: IpsetSpec) => Number(spec.type !== 'list:set');
    const sets = this.#ipset.headers(SET_PREFIX).sort((a, b) => lists(a.spec) - lists(b.spec));
    for (const { spec } of sets) this.#ipset.destroy(spec.name);
    this.#capacity.clear();
  }

  /** Looks whether all is as it was left: from time to time, and when something was heard. */
  watch(onForeignChange: (what: string) => void) {
    let isClosed = false;
    let timer: NodeJS.Timeout | undefined;
    let isLooking = false;
    let isHeard = false;
    const look = async () => {
      clearTimeout(timer);
      [isLooking, isHeard] = [true, false];
      const what = await this.#check().catch((error: Error) => error.message);
      isLooking = false;
      if (isClosed) return;
      if (what !== undefined) onForeignChange(what);
      timer = setTimeout(() => void look(), isHeard ? 0 : (this.#options.checkMs ?? CHECK_MS)).unref();
    };
    timer = setTimeout(() => void look(), this.#options.checkMs ?? CHECK_MS).unref();
    return {
      look: () => {
        isHeard = true;
        if (!isLooking && !isClosed) void look();
      },
      close: () => {
        isClosed = true;
        clearTimeout(timer);
      },
    };
  }

  close(): void {
    this.#current = undefined;
    clearTimeout(this.#destroyTimer);
    this.#options.admission?.close();
  }

  /** @returns what is not as it was left */
  async #check(): Promise<string | undefined> {
    const before = this.#current;
    if (before === undefined) return undefined;
    const { translator, rules, portSets } = before;
    const headers = this.#ipset.headers(SET_PREFIX);
    const wanted = wantedSets(translator, portSets);
    const names = new Set(headers.map(({ spec }) => spec.name));
    for (const {
      spec: { name },
      elements,
    } of headers)
      if (elements !== translator.count(name) || !(wanted.has(name) || this.#unused.has(name))) return `set ${name}`;
    for (const name of wanted) if (!names.has(name)) return `set ${name}`;
    const small = headers.filter(({ elements }) => elements <= COMPARED_MEMBERS);
    const next = small[this.#turn++ % Math.max(small.length, 1)];
    const dump = next && this.#ipset.find(next.spec.name);
    if (dump?.members.some((member) => !translator.has(membershipKey({ set: dump.spec, member }))))
      return `set ${dump.spec.name}`;
    // Before the rules are read: what changes meanwhile has another number.
    const generation = this.#generation();
    const { generation: last, portSets: sets } = this.#intactAt ?? {};
    if (generation !== undefined && generation === last && portSets === sets) return undefined;
    const outputs = await Promise.all(this.#families.map(({ xtables }) => xtables.saveLater()));
    if (this.#current !== before || before.portSets !== portSets) return undefined;
    if (!this.#families.every(({ compile }, index) => areThere(outputs[index] ?? '', compile(rules, portSets))))
      return 'rules of iptables';
    this.#intactAt = generation === undefined ? undefined : { generation, portSets };
    return undefined;
  }

  /** @returns undefined where the kernel does not number the states of our rules: the older interface has no such number */
  #generation(): number | undefined {
    if (this.#options.generation === undefined) return undefined;
    this.#isNft ??= this.#families.every(({ xtables }) => xtables.variant() === 'nft');
    return this.#isNft ? this.#options.generation() : undefined;
  }

  /** Everything, by what differs from what is there. */
  #writeAll(rules: RuleSetItem, desired: NodeState): Current {
    const found = this.#ipset.list(SET_PREFIX);
    const translator = Translator.of(desired, placesIn(found));
    if (translator === undefined) throw new KernelError('apply', 'rules of iptables', ERRNO.ENOENT);
    this.#remember(found);
    this.#guards.reset(desired);
    this.#guards.write();
    const portSets = translator.portSets();
    const { added, removed, stray } = differences(found, translator, wantedSets(translator, portSets));
    this.#unused.clear();
    const known = new Set(found.map(({ spec }) => spec.name));
    const named = [...Object.values(IPSETS), ...[...portSets.keys()].flatMap(portSetLists)];
    for (const set of named) if (!known.has(set.name)) this.#create(set);
    this.#write(removed, added, { translator, portSets });
    for (const { xtables, compile } of this.#families) writeRules(xtables, compile(rules, portSets));
    this.#guards.seal();
    this.#removeFromOther();
    // Lists before what is in them.
    for (const name of stray.sort((a, b) => Number(isInner(a)) - Number(isInner(b)))) this.#destroy(name);
    return { rules, translator, portSets };
  }

  /** What was written with the other variant of the programs: the same rules, twice. */
  #removeFromOther(): void {
    for (const { family } of this.#families) {
      const other = Xtables.other(family, this.#options.variant ?? 'default');
      if (other !== undefined) writeRules(other, []);
    }
  }

  /**
   * In the order of membership-order.ts: what passes on the way both states allow, or one of them.
   * @param portSets of members that go as well as of those that come
   */
  #write(
    removed: readonly Membership[],
    added: readonly Membership[],
    { translator, portSets }: { readonly translator: Translator; readonly portSets: PortSetRanges },
  ): void {
    for (const set of new Set(added.flatMap((each) => (isEntry(each) ? [] : [each.set])))) {
      const capacity = this.#capacity.get(set.name);
      if (capacity === undefined) this.#create(set);
      else if (translator.count(set.name) > capacity) this.#grow(set, translator, { removed, added });
    }
    for (const { op, members } of ordered(removed, added, portSets)) {
      this.#ipset.change(members.map((each): IpsetChange => ({ op, ...each })));
      // In a list of ours others may have put a set of theirs.
      if (op === 'del')
        for (const { member } of members) if (member.set?.startsWith(SET_PREFIX)) this.#destroy(member.set);
    }
  }

  #create(set: IpsetSpec): void {
    const { maxElements } = this.#options;
    const spec = maxElements === undefined || set.maxElements === undefined ? set : { ...set, maxElements };
    this.#ipset.create(spec);
    this.#capacity.set(set.name, spec.maxElements ?? Number.POSITIVE_INFINITY);
  }

  #destroy(name: string): void {
    this.#ipset.destroy(name);
    this.#capacity.delete(name);
  }

  /** A set cannot be made larger: a larger one, filled as this is, takes its place and name, with no moment between. */
  #grow(
    set: IpsetSpec,
    translator: Translator,
    { removed, added }: { readonly removed: readonly Membership[]; readonly added: readonly Membership[] },
  ): void {
    const maxElements = 2 ** Math.ceil(Math.log2(translator.count(set.name) * 2));
    const larger = { ...set, name: `${SET_PREFIX}growing`, maxElements };
    this.#ipset.destroy(larger.name);
    this.#ipset.create(larger);
    const coming = new Set(added.map(membershipKey));
    const members = [...translator.members(), ...removed].filter(
      (each) => each.set.name === set.name && !coming.has(membershipKey(each)),
    );
    this.#ipset.change(members.map(({ member }): IpsetChange => ({ op: 'add', set: larger, member })));
    this.#ipset.swap(set.name, larger.name);
    this.#ipset.destroy(larger.name);
    this.#capacity.set(set.name, maxElements);
  }

  #remember(found: readonly IpsetDump[]): void {
    this.#capacity.clear();
    for (const { spec } of found) this.#capacity.set(spec.name, spec.maxElements ?? Number.POSITIVE_INFINITY);
  }
}

function writeRules(xtables: Xtables, wanted: readonly TableRules[]): void {
  const saved = parseSaved(xtables.save());
  if (!isIntact(saved, wanted)) xtables.restore(restoreInput(saved, wanted));
}

function areThere(saved: string, wanted: readonly TableRules[]): boolean {
  return isIntact(parseSaved(saved), wanted);
}

/** Where links are kept already. */
function placesIn(found: readonly IpsetDump[]): Map<string, number> {
  const places = new Map<string, number>();
  for (const { spec, members } of found) {
    const place = linkSetPlace(spec.name);
    if (place === undefined) continue;
    for (const { link = '', address } of members)
      if (address !== undefined) places.set(foundKey(place.list, link, address), place.number);
  }
  return places;
}

/** All sets there should be: rules name those of port sets, whether or not anything is in them. */
function wantedSets(translator: Translator, portSets: PortSetRanges): ReadonlySet<string> {
  return new Set([...translator.sets(), ...[...portSets.keys()].flatMap(portSetLists).map(({ name }) => name)]);
}

function isInner(name: string): boolean {
  return linkSetPlace(name) !== undefined;
}

/** What to take out and put in, and sets that should not be at all. */
function differences(found: readonly IpsetDump[], translator: Translator, wanted: ReadonlySet<string>) {
  const there = new Set<string>();
  const removed: Membership[] = [];
  const stray: string[] = [];
  for (const { spec, members } of found) {
    if (!wanted.has(spec.name)) stray.push(spec.name);
    for (const member of members) {
      const membership = { set: spec, member };
      const key = membershipKey(membership);
      if (translator.has(key)) there.add(key);
      else if (wanted.has(spec.name)) removed.push(membership);
    }
  }
  const added = [...translator.members()].filter((each) => !there.has(membershipKey(each)));
  return { added, removed, stray };
}
