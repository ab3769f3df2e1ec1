/**
 * The nftables backend: the table read back as items, and changes to it made as ONE transaction, which happens only if no other program
 * has changed the table meanwhile. What the rules are is isolation/rules.ts's; here they are only compared and replaced whole.
 */

import type { Batch } from '../../codecs/nftables/batch.ts';
import type { SetElement } from '../../codecs/nftables/element.ts';
import type { Nftables, TableDump } from '../../codecs/nftables/nftables.ts';
import type { NftSet } from '../../codecs/nftables/set.ts';
import type { Change } from '../../diff.ts';
import { ERRNO, isErrno, KernelError } from '../../errors.ts';
import { type Collection, type Item, itemKey, type NodeState, type RuleSetItem, ruleSetOf } from '../../state.ts';
import type { IsolationBackend } from '../isolation-backend.ts';
import type { ChainSpec } from './chain-spec.ts';
import { compileRules } from './rules.ts';
import {
  COLLECTIONS,
  FLOW_SETS,
  isSetCollection,
  SETS,
  type SetCollection,
  TABLE,
  toItem,
  toSetElement,
} from './sets.ts';

export interface NftablesIsolationOptions {
  /** has anybody but this process changed the table since it was last read back? Asked when the rule set as a whole has changed. */
  readonly isTouched?: () => boolean;
  /** elements that a set is made for at first; tests have small ones */
  readonly sizes?: Partial<Record<SetCollection, number>>;
}

/** How often others may change other tables while one transaction is on its way. */
const TRIES = 16;

export class NftablesIsolation implements IsolationBackend {
  readonly name = 'nftables';
  /** an address finds its subnet by its block */
  readonly ignores: ReadonlySet<Collection> = new Set(['network']);
  readonly #nftables: Nftables;
  readonly #options: NftablesIsolationOptions;
  /** what the rules in the kernel were compiled from, as far as this process knows */
  #current: RuleSetItem | undefined;
  /** the rules the kernel should have, by the item they come from */
  #compiled: { readonly item: RuleSetItem; readonly chains: readonly ChainSpec[] } | undefined;
  /** the rule set's number at which the table is as believed */
  #generation: number | undefined;
  /** of each set: the elements it holds, and can hold */
  readonly #fill = new Map<SetCollection, { count: number; size: number }>();

  /** @param nftables stays the caller's to close */
  constructor(nftables: Nftables, options: NftablesIsolationOptions = {}) {
    this.#nftables = nftables;
    this.#options = options;
  }

  /** Reads everything of ours back: a table that has exactly the rules wanted is reported as that item, any other as no rules. */
  observe(desired: NodeState): Map<string, Item> {
    const wanted = ruleSetOf(desired);
    const items = new Map<string, Item>();
    const dump = this.#nftables.dumpTable(TABLE);
    this.#current = undefined;
    this.#generation = dump?.generation ?? this.#nftables.generationId();
    this.#fill.clear();
    if (dump === undefined) return items;
    const sets = new Map(dump.sets.map((set) => [set.name, set]));
    for (const collection of COLLECTIONS) {
      const { elements = [], set } = sets.get(SETS[collection].name) ?? {};
      this.#fill.set(collection, { count: elements.length, size: set?.size ?? 0 });
      for (const element of elements) {
        const item = toItem(collection, element);
        items.set(itemKey(item), item);
      }
    }
    if (wanted !== undefined && this.#isIntact(dump, this.#compile(wanted))) {
      items.set(itemKey(wanted), wanted);
      this.#current = wanted;
    }
    return items;
  }

  /**
   * One transaction for all changes of elements and rules. New rules replace the whole table together with everything it must hold,
   * so that no packet meets half of it.
   * @throws KernelError naming the object refused; nothing was done then
   */
  apply(changes: readonly Change[], desired: NodeState): void {
    const isolation = changes.filter(({ item }) => item.kind === 'element' || item.kind === 'ruleSet');
    if (isolation.length === 0) return;
    const ruleSet = isolation.find(({ item, op }) => item.kind === 'ruleSet' && op !== 'remove')?.item;
    if (ruleSet?.kind === 'ruleSet') this.#replaceTable(ruleSet, desired);
    else if (this.#current === undefined) throw new KernelError('apply', 'rules of table inet tenet', ERRNO.ENOENT);
    // A set cannot grow; the whole table is made anew with a larger one, in one transaction.
    else if (!this.#hasRoom(isolation)) this.#replaceTable(this.#current, desired);
    else this.#commit((batch) => changeElements(batch, isolation));
  }

  refused(): ReadonlyMap<string, number> {
    if (this.#current === undefined) return new Map();
    const elements = this.#nftables.dumpElements(SETS.refused);
    return new Map(elements.map(({ key, packets = 0 }) => [String(key[0]), packets]));
  }

  /** The kernel tells of every change of a table: its monitor hears of them. */
  watch() {
    return { look: () => undefined, close: () => undefined };
  }

  exists(): boolean {
    return this.#nftables.hasTable(TABLE);
  }

  remove(): void {
    this.#current = undefined;
    this.#generation = undefined;
    if (!this.exists()) return;
    // A packet under way is judged by the rules it met first, but finds no element any more that is deleted meanwhile: it would be dropped.
    this.#nftables.transaction((batch) => batch.putTableToSleep(TABLE));
    this.#nftables.transaction((batch) => batch.deleteTable(TABLE));
  }

  close(): void {
    this.#current = undefined;
  }

  /**
   * A transaction on the table as it was last read back or changed. Others may change their own tables meanwhile, which the kernel does
   * not tell from a change of ours: a listener to its notifications does.
   * @throws KernelError, ERESTART when the table itself was changed: read it back
   */
  #commit(build: (batch: Batch) => void): void {
    for (let tries = 1; ; tries++) {
      try {
        const known = this.#generation;
        const isSent = this.#nftables.transaction(build, known === undefined ? {} : { generation: known });
        // u32; 0 is never used. One that changed nothing leaves it as it is: then the next one finds out.
        if (isSent && known !== undefined) this.#generation = (known + 1) % 2 ** 32 || 1;
        return;
      } catch (error) {
        const isTouched = this.#options.isTouched?.() ?? true;
        if (!isErrno(error, ERRNO.ERESTART) || isTouched || tries === TRIES) throw error;
        this.#generation = this.#nftables.generationId();
      }
    }
  }

  /** Counts what the changes add; what they are about to exceed is remembered at its new size. */
  #hasRoom(changes: readonly Change[]): boolean {
    for (const { item, op } of changes) {
      if (item.kind !== 'element' || !isSetCollection(item.collection) || op === 'replace') continue;
      const fill = this.#fill.get(item.collection);
      if (fill !== undefined && toSetElement(item) !== undefined) fill.count += op === 'add' ? 1 : -1;
    }
    return [...this.#fill.values()].every(({ count, size }) => count <= size);
  }

  /** Twice what it is to hold, at least what it is made for at first. */
  #sizeFor(collection: SetCollection, count: number): number {
    const least = this.#options.sizes?.[collection] ?? SETS[collection].size;
    return count <= least ? least : 2 ** Math.ceil(Math.log2(count * 2));
  }

  #replaceTable(item: RuleSetItem, desired: NodeState): void {
    const chains = this.#compile(item);
    const elements = groupElements(desired.values());
    for (const collection of COLLECTIONS) {
      const count = elements.get(collection)?.length ?? 0;
      this.#fill.set(collection, { count, size: this.#sizeFor(collection, count) });
    }
    this.#commit((batch) => {
      batch.addTable(TABLE);
      batch.deleteTable(TABLE);
      batch.addTable(TABLE);
      for (const collection of COLLECTIONS) {
        const size = this.#fill.get(collection)?.size ?? SETS[collection].size;
        batch.addSet({ ...SETS[collection], size });
      }
      for (const set of Object.values(FLOW_SETS)) batch.addSet(set);
      for (const { chain } of chains) batch.addChain(chain);
      for (const { rules } of chains) for (const rule of rules) batch.addRule(rule);
      for (const [collection, list] of elements) batch.addElements(SETS[collection], list);
    });
    this.#current = item;
  }

  #compile(item: RuleSetItem): readonly ChainSpec[] {
    if (this.#compiled?.item !== item) this.#compiled = { item, chains: compileRules(item) };
    return this.#compiled.chains;
  }

  /** Exactly our chains with our hooks, our rules in order (each known by the hash in its comment), our sets. */
  #isIntact(dump: TableDump, chains: readonly ChainSpec[]): boolean {
    const rulesOf = new Map<string, string[]>();
    for (const { chain, comment } of dump.rules) rulesOf.set(chain, [...(rulesOf.get(chain) ?? []), comment ?? '']);
    const observed = new Map(dump.chains.map((chain) => [chain.chain, chain]));
    const sets = new Map(dump.sets.map(({ name, set }) => [name, set]));
    const isOurs = (set: NftSet) => {
      const found = sets.get(set.name);
      return found !== undefined && found.key.join() === set.key.join() && found.data === set.data;
    };
    return (
      !dump.table.dormant &&
      observed.size === chains.length &&
      chains.every(({ chain, rules }) => {
        const found = observed.get(chain.chain);
        const sameHook = found !== undefined && JSON.stringify(found.base) === JSON.stringify(chain.base);
        return (
          sameHook && (rulesOf.get(chain.chain) ?? []).join('\n') === rules.map(({ comment }) => comment).join('\n')
        );
      }) &&
      [...Object.values(SETS), ...Object.values(FLOW_SETS)].every(isOurs)
    );
  }
}

function changeElements(batch: Batch, changes: readonly Change[]): void {
  const added = changes.filter(({ op }) => op === 'add').map(({ item }) => item);
  const replaced = changes.filter(({ op }) => op === 'replace').map(({ item }) => item);
  const removed = changes.filter(({ op }) => op === 'remove').map(({ item }) => item);
  // Removals first: what closes takes no room from what opens, should a set be full.
  for (const [collection, elements] of groupElements(removed)) batch.destroyElements(SETS[collection], elements);
  for (const [collection, elements] of groupElements(replaced)) batch.replaceElements(SETS[collection], elements);
  for (const [collection, elements] of groupElements(added)) batch.addElements(SETS[collection], elements);
}

function groupElements(items: Iterable<Item>): Map<SetCollection, SetElement[]> {
  const groups = new Map<SetCollection, SetElement[]>();
  for (const item of items) {
    if (item.kind !== 'element' || !isSetCollection(item.collection)) continue;
    const element = toSetElement(item);
    if (element === undefined) continue;
    const { collection } = item;
    const group = groups.get(collection);
    if (group === undefined) groups.set(collection, [element]);
    else group.push(element);
  }
  return groups;
}
