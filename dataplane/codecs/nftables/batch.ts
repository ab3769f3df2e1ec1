/**
 * One transaction as bytes: NFNL_MSG_BATCH_BEGIN, the changes in order, NFNL_MSG_BATCH_END. Remembers what each message was about,
 * so that a refusal can name it. Does not send. Pure.
 * @see include/uapi/linux/netfilter/nfnetlink.h, net/netfilter/nfnetlink.c (nfnetlink_rcv_batch)
 */
import { ByteWriter } from '../../netlink/bytes.ts';
import {
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  writeMessage,
} from '../../netlink/message.ts';
import { type Chain, writeChainName, writeNewChain } from './chain.ts';
import { describeSet, ElementCodec, type SetElement } from './element.ts';
import type { TableRef } from './nfnetlink.ts';
import { type Rule, type RulePlace, type RuleRef, writeNewRule, writeRuleRef } from './rule.ts';
import { type NftSet, writeNewSet, writeSetName } from './set.ts';
import { writeNewTable, writeTableName } from './table.ts';
import * as nft from './uapi.ts';

/** What a message asked of which object. */
export interface Step {
  readonly op: string;
  readonly object: string;
}
/** As {@link Step}, with the object to be read out of the message only if it is needed. */
interface ElementStep {
  readonly op: string;
  readonly codec: ElementCodec;
  /** of the message in the buffer */
  readonly start: number;
  readonly end: number;
}

/** Ready-made: every transaction needs them. */
const BEGIN = controlMessage(nft.NFNL_MSG_BATCH_BEGIN, 0);
const END = controlMessage(nft.NFNL_MSG_BATCH_END, NLM_F_ACK);
const WHOLE: Step = { op: 'transaction', object: 'batch' };

/** Tells which of some elements are in the kernel, where it cannot destroy without knowing. */
export type FindExisting = (set: NftSet, elements: readonly SetElement[]) => readonly SetElement[];

const codecs = new WeakMap<NftSet, ElementCodec>();

/** The codec of a set, made once per description. */
export function elementCodec(set: NftSet): ElementCodec {
  let codec = codecs.get(set);
  if (codec === undefined) {
    codec = new ElementCodec(set);
    codecs.set(set, codec);
  }
  return codec;
}

export class Batch {
  readonly #out = new ByteWriter(64 * 1024);
  readonly #findExisting: FindExisting | undefined;
  #steps: (Step | ElementStep)[] = [];
  #setId = 0;

  /** @param findExisting given on kernels that do not know NFT_MSG_DESTROYSETELEM */
  constructor(findExisting?: FindExisting) {
    this.#findExisting = findExisting;
  }

  /** Starts anew. @param generation the transaction fails with ERESTART unless the rule set is still at this one */
  begin(generation?: number): void {
    this.#out.truncate(0);
    this.#steps = [generation === undefined ? WHOLE : { ...WHOLE, object: `batch at generation ${generation}` }];
    this.#setId = 0;
    if (generation === undefined) this.#out.bytes(BEGIN);
    else writeControl(this.#out, nft.NFNL_MSG_BATCH_BEGIN, 0, generation);
  }

  /** Has nothing been asked since {@link begin}? */
  get empty(): boolean {
    return this.#steps.length === 1;
  }

  /** Closes the batch. @returns its bytes, valid until the next {@link begin} */
  end(): Uint8Array {
    this.#out.bytes(END);
    return this.#out.finish();
  }

  /** What the message at `index` asked for. @param offset of the attribute the kernel objected to, where it named one */
  describe(index: number, offset?: number): Step {
    const step = this.#steps[index] ?? WHOLE;
    if (!('codec' in step)) return step;
    const message = this.#out.finish().subarray(step.start, step.end);
    return { op: step.op, object: step.codec.describe(message, offset) };
  }

  /** Adds a table; one that is there stays as it is. */
  addTable(table: TableRef): void {
    writeNewTable(this.#out, nft.NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
    this.#step('NFT_MSG_NEWTABLE', `table ${table.family} ${table.table}`);
  }

  /** Takes all of a table's chains out of the packets' way, and leaves everything in it as it is; one that is not there is made. */
  putTableToSleep(table: TableRef): void {
    writeNewTable(this.#out, nft.NFT_MSG_NEWTABLE, NLM_F_CREATE, table, true);
    this.#step('NFT_MSG_NEWTABLE', `table ${table.family} ${table.table}, dormant`);
  }

  /** Deletes a table with all that is inside. ENOENT if there is none. */
  deleteTable(table: TableRef): void {
    writeTableName(this.#out, nft.NFT_MSG_DELTABLE, 0, table);
    this.#step('NFT_MSG_DELTABLE', `table ${table.family} ${table.table}`);
  }

  /** Deletes a table with all that is inside, if it is there. Linux 6.3; EINVAL before. */
  destroyTable(table: TableRef): void {
    writeTableName(this.#out, nft.NFT_MSG_DESTROYTABLE, 0, table);
    this.#step('NFT_MSG_DESTROYTABLE', `table ${table.family} ${table.table}`);
  }

  /** Adds a chain, or changes the policy of one that is there. */
  addChain(chain: Chain): void {
    writeNewChain(this.#out, nft.NFT_MSG_NEWCHAIN, NLM_F_CREATE, chain);
    this.#step('NFT_MSG_NEWCHAIN', describeChain(chain));
  }

  /** Deletes a chain that is empty and that nothing jumps to. */
  deleteChain(chain: Chain): void {
    writeChainName(this.#out, nft.NFT_MSG_DELCHAIN, 0, chain);
    this.#step('NFT_MSG_DELCHAIN', describeChain(chain));
  }

  /** Deletes all rules of a chain. */
  flushChain(chain: Chain): void {
    const { family, table } = chain;
    writeRuleRef(this.#out, nft.NFT_MSG_DELRULE, 0, { family, table, chain: chain.chain });
    this.#step('NFT_MSG_DELRULE', `rules of ${describeChain(chain)}`);
  }

  /** Adds a rule at the end of its chain, or after the rule with a handle. */
  addRule(rule: Rule, after?: bigint): void {
    this.#newRule(rule, NLM_F_CREATE | NLM_F_APPEND, after === undefined ? {} : { beside: after });
  }

  /** Adds a rule at the beginning of its chain, or before the rule with a handle. */
  insertRule(rule: Rule, before?: bigint): void {
    this.#newRule(rule, NLM_F_CREATE, before === undefined ? {} : { beside: before });
  }

  /** Puts a rule in the place of another. */
  replaceRule(rule: Rule, handle: bigint): void {
    this.#newRule(rule, NLM_F_REPLACE, { replaces: handle });
  }

  deleteRule(rule: Required<RuleRef>): void {
    writeRuleRef(this.#out, nft.NFT_MSG_DELRULE, 0, rule);
    this.#step('NFT_MSG_DELRULE', `rule ${rule.handle} in ${describeChain(rule)}`);
  }

  /** Adds a set; one of the same description that is there stays as it is. */
  addSet(set: NftSet): void {
    writeNewSet(this.#out, nft.NFT_MSG_NEWSET, NLM_F_CREATE, set, set.id ?? ++this.#setId);
    this.#step('NFT_MSG_NEWSET', describeSet(set));
  }

  /**
   * Adds a set that belongs to the one rule that this transaction makes look it up.
   * @returns the set to look up
   */
  addAnonymousSet(set: Omit<NftSet, 'name' | 'anonymous' | 'id'>, elements: readonly SetElement[]): NftSet {
    const name = set.data === undefined ? '__set%d' : '__map%d';
    const anonymous: NftSet = { size: elements.length, ...set, name, anonymous: true, id: ++this.#setId };
    this.addSet(anonymous);
    this.addElements(anonymous, elements);
    return anonymous;
  }

  /** Deletes a set that no rule looks up. */
  deleteSet(set: NftSet): void {
    writeSetName(this.#out, nft.NFT_MSG_DELSET, 0, set);
    this.#step('NFT_MSG_DELSET', describeSet(set));
  }

  /** Deletes all elements of a set. */
  flushSet(set: NftSet): void {
    writeSetName(this.#out, nft.NFT_MSG_DELSETELEM, 0, set);
    this.#step('NFT_MSG_DELSETELEM', `elements of ${describeSet(set)}`);
  }

  /**
   * Adds elements, in as many messages as it takes. EEXIST for a key of a map that is there with other data.
   * @param mode `create`: EEXIST for any element that is there already
   */
  addElements(set: NftSet, elements: readonly SetElement[], mode: 'add' | 'create' = 'add'): void {
    const flags = mode === 'create' ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_CREATE;
    this.#elements('NFT_MSG_NEWSETELEM', nft.NFT_MSG_NEWSETELEM, flags, set, elements);
  }

  /** Deletes elements by key. ENOENT for one that is not there. */
  deleteElements(set: NftSet, elements: readonly SetElement[]): void {
    this.#elements('NFT_MSG_DELSETELEM', nft.NFT_MSG_DELSETELEM, 0, set, elements);
  }

  /** Deletes elements by key, as far as they are there. (Without kernel support: were there before this transaction.) */
  destroyElements(set: NftSet, elements: readonly SetElement[]): void {
    if (this.#findExisting !== undefined) this.deleteElements(set, this.#findExisting(set, elements));
    else this.#elements('NFT_MSG_DESTROYSETELEM', nft.NFT_MSG_DESTROYSETELEM, 0, set, elements);
  }

  /** Gives keys of a map new data, whatever they had. No packet sees the map without them. */
  replaceElements(set: NftSet, elements: readonly SetElement[]): void {
    this.destroyElements(set, elements);
    this.addElements(set, elements);
  }

  #newRule(rule: Rule, flags: number, place: RulePlace): void {
    writeNewRule(this.#out, nft.NFT_MSG_NEWRULE, flags, rule, place);
    const name = rule.comment === undefined ? 'rule' : `rule ${JSON.stringify(rule.comment)}`;
    this.#step('NFT_MSG_NEWRULE', `${name} in ${describeChain(rule)}`);
  }

  #elements(op: string, type: number, flags: number, set: NftSet, elements: readonly SetElement[]): void {
    const codec = elementCodec(set);
    for (let next = 0; next < elements.length; ) {
      const start = this.#out.length;
      next = codec.writeMessage(this.#out, type, flags, elements, next);
      this.#steps.push({ op, codec, start, end: this.#out.length });
    }
  }

  #step(op: string, object: string): void {
    this.#steps.push({ op, object });
  }
}

/** Batch messages say in `res_id` which subsystem the batch is for. */
function writeControl(out: ByteWriter, type: number, flags: number, generation?: number): void {
  writeMessage(out, type, flags, (attributes) => {
    out.u8(0).u8(nft.NFNETLINK_V0).u16be(nft.NFNL_SUBSYS_NFTABLES);
    if (generation !== undefined) attributes.u32be(nft.NFNL_BATCH_GENID, generation);
  });
}

function describeChain({ family, table, chain }: TableRef & { readonly chain: string }): string {
  return `chain ${family} ${table} ${chain}`;
}

function controlMessage(type: number, flags: number): Uint8Array {
  const out = new ByteWriter(32);
  writeControl(out, type, flags);
  return out.finish();
}
