/**
 * The nftables half of a node's state: the table read back as items, and changes to it made as ONE transaction. What the rules are
 * is isolation/rules.ts's; here they are only compared and replaced whole.
 */
import type { Change } from './diff.ts';
import { ERRNO, KernelError } from './errors.ts';
import type { ChainSpec } from './isolation/chain-spec.ts';
import { compileRules } from './isolation/rules.ts';
import {
  COLLECTIONS,
  isSetCollection,
  SETS,
  type SetCollection,
  TABLE,
  toItem,
  toSetElement,
} from './isolation/sets.ts';
import type { Batch } from './nftables/batch.ts';
import type { SetElement } from './nftables/element.ts';
import type { Nftables, TableDump } from './nftables/nftables.ts';
import type { NftSet } from './nftables/set.ts';
import { type Item, itemKey, type NodeState, type RuleSetItem } from './state.ts';

/** The table as read back, and the rule set that was recognised in it. */
export class KernelIsolation {
  readonly #nftables: Nftables;
  /** what the rules in the kernel were compiled from, as far as this process knows */
  #current: RuleSetItem | undefined;
  /** the rules the kernel should have, by the item they come from */
  #compiled: { readonly item: RuleSetItem; readonly chains: readonly ChainSpec[] } | undefined;

  constructor(nftables: Nftables) {
    this.#nftables = nftables;
  }

  /**
   * Reads everything of ours back.
   * @param wanted the rules that should be there: a table that has exactly these is reported as that item, any other as no rules
   */
  observe(wanted: RuleSetItem | undefined): Map<string, Item> {
    const items = new Map<string, Item>();
    const dump = this.#nftables.dumpTable(TABLE);
    this.#current = undefined;
    if (dump === undefined) return items;
    const sets = new Map(dump.sets.map((set) => [set.name, set]));
    for (const collection of COLLECTIONS) {
      for (const element of sets.get(SETS[collection].name)?.elements ?? []) {
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
    else this.#nftables.transaction((batch) => changeElements(batch, isolation));
  }

  #replaceTable(item: RuleSetItem, desired: NodeState): void {
    const chains = this.#compile(item);
    this.#nftables.transaction((batch) => {
      batch.addTable(TABLE);
      batch.deleteTable(TABLE);
      batch.addTable(TABLE);
      for (const collection of COLLECTIONS) batch.addSet(SETS[collection]);
      for (const { chain } of chains) batch.addChain(chain);
      for (const { rules } of chains) for (const rule of rules) batch.addRule(rule);
      const elements = groupElements(desired.values());
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
      observed.size === chains.length &&
      chains.every(({ chain, rules }) => {
        const found = observed.get(chain.chain);
        const sameHook = found !== undefined && JSON.stringify(found.base) === JSON.stringify(chain.base);
        return (
          sameHook && (rulesOf.get(chain.chain) ?? []).join('\n') === rules.map(({ comment }) => comment).join('\n')
        );
      }) &&
      COLLECTIONS.every((collection) => isOurs(SETS[collection]))
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
