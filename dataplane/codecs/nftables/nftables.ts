/**
 * nf_tables through a netlink connection: transactions that happen wholly or not at all, and reading a table back. Everything is
 * synchronous. Knows no rule set: what Tenet's looks like is decided elsewhere. Pure but for the connection it is given.
 * @see net/netfilter/nf_tables_api.c
 */
import { ERRNO, isErrno, KernelError } from '../../errors.ts';
import { ByteWriter } from '../../netlink/bytes.ts';
import { type NetlinkMessage, NLM_F_DUMP } from '../../netlink/message.ts';
import { Batch, elementCodec, type Step } from './batch.ts';
import { type ObservedChain, parseChain } from './chain.ts';
import { describeSet, type SetElement } from './element.ts';
import { familyNumber, parseNftPayload, required, type TableRef, writeNftMessage } from './nfnetlink.ts';
import { type ObservedRule, parseRule, writeRuleRef } from './rule.ts';
import { type NftSet, type ObservedSet, parseSet, writeSetName } from './set.ts';
import { type ObservedTable, parseTable, writeTableName } from './table.ts';
import * as nft from './uapi.ts';

/** Names the message at `index` of a request, for errors; `offset` is that of the attribute the kernel objected to. */
type Describe = (index: number, offset?: number) => Step;

/** What is needed of a netlink connection. Each throws KernelError with the names that `describe` gives. */
export interface NftConnection {
  /** Sends a batch; throws for the first message refused, after which nothing is done. */
  batch(bytes: Uint8Array, describe: Describe): void;
  /** Sends one request and returns its one answer. */
  get(bytes: Uint8Array, describe: Describe): NetlinkMessage;
  /** Sends one dump request and returns all of its answers, of one moment in time each. */
  dump(bytes: Uint8Array, describe: Describe): readonly NetlinkMessage[];
}

/** A set with what it holds. `elements` is empty for one that this code cannot read (`set` undefined), and for one that rules fill. */
export interface DumpedSet extends ObservedSet {
  readonly elements: readonly SetElement[];
}

/** All of a table at one generation of the rule set. */
export interface TableDump {
  readonly table: ObservedTable;
  readonly generation: number;
  readonly chains: readonly ObservedChain[];
  /** in the order the chains run them */
  readonly rules: readonly ObservedRule[];
  readonly sets: readonly DumpedSet[];
}

const DUMP_TRIES = 20;
/** No program has a table of this name, so destroying it does nothing, and tells whether the kernel knows how. */
const PROBE_TABLE: TableRef = { family: 'inet', table: 'tenet-destroy-probe' };

export class Nftables {
  readonly #connection: NftConnection;
  readonly #request = new ByteWriter(1024);
  readonly #canDestroy: boolean | undefined;
  readonly #describe: Describe;
  #prepared: Batch | undefined;

  /**
   * @param connection NETLINK_NETFILTER, of the network namespace to work in; stays the caller's to close
   * @param options.canDestroy NFT_MSG_DESTROYSETELEM is there (Linux 6.3); found out at first use if left out
   */
  constructor(connection: NftConnection, options: { readonly canDestroy?: boolean } = {}) {
    this.#connection = connection;
    this.#canDestroy = options.canDestroy;
    this.#describe = (index, offset) => this.#batch().describe(index, offset);
  }

  /** The number of the rule set's state; every transaction of anybody, in any table, changes it. */
  generationId(): number {
    const bytes = this.#write((out) => writeNftMessage(out, nft.NFT_MSG_GETGEN, 0, 0, () => undefined));
    const { payload } = this.#connection.get(bytes, () => ({ op: 'NFT_MSG_GETGEN', object: 'generation' }));
    return required(parseNftPayload(payload).attributes, nft.NFTA_GEN_ID, 'a generation').u32be();
  }

  /**
   * Makes all changes that `build` puts into the batch, or none. Nothing is sent if there are none.
   * @param build uses the batch before it returns, never after
   * @param options.generation refuse (ERESTART) unless the rule set is still at this generation: read it again then
   * @returns whether there was anything to send
   * @throws KernelError naming the first object refused; CodecError on a value that cannot be written
   */
  transaction(build: (batch: Batch) => void, options: { readonly generation?: number } = {}): boolean {
    const batch = this.#batch();
    batch.begin(options.generation);
    build(batch);
    if (batch.empty) return false;
    this.#connection.batch(batch.end(), this.#describe);
    return true;
  }

  /**
   * Reads a table with all that is inside, as it was at one moment.
   * @returns undefined when there is no such table
   * @throws KernelError, EINTR when others change the rule set faster than it can be read
   */
  dumpTable(ref: TableRef): TableDump | undefined {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      const generation = this.generationId();
      const dump = this.#dumpOnce(ref, generation);
      if (this.generationId() === generation) return dump;
    }
    throw new KernelError('dump', describeTable(ref), ERRNO.EINTR);
  }

  hasTable(ref: TableRef): boolean {
    try {
      return this.#table(ref) !== undefined;
    } catch (error) {
      if (isErrno(error, ERRNO.ENOENT)) return false;
      throw error;
    }
  }

  /** Reads the elements of a set. @throws KernelError, ENOENT if there is no such set */
  dumpElements(set: NftSet): SetElement[] {
    const codec = elementCodec(set);
    const answers = this.#dump('NFT_MSG_GETSETELEM', describeSet(set), (out) =>
      writeSetName(out, nft.NFT_MSG_GETSETELEM, NLM_F_DUMP, set),
    );
    return answers.flatMap(({ payload }) => codec.parseMessage(payload));
  }

  #dumpOnce(ref: TableRef, generation: number): TableDump | undefined {
    try {
      const table = this.#table(ref);
      if (table === undefined) return undefined;
      const family = familyNumber(ref.family);
      const inTable = (object: TableRef) => object.family === ref.family && object.table === ref.table;
      // The kernel does not filter chains by table.
      const chains = this.#dump('NFT_MSG_GETCHAIN', describeTable(ref), (out) =>
        writeNftMessage(out, nft.NFT_MSG_GETCHAIN, NLM_F_DUMP, family, () => undefined),
      );
      const rules = this.#dump('NFT_MSG_GETRULE', describeTable(ref), (out) =>
        writeRuleRef(out, nft.NFT_MSG_GETRULE, NLM_F_DUMP, ref),
      );
      return {
        table,
        generation,
        chains: parseEach(chains, parseChain).filter(inTable),
        rules: parseEach(rules, parseRule).filter(inTable),
        sets: this.#sets(ref).map((observed) => {
          const { set } = observed;
          return { ...observed, elements: set && !set.addedByRules ? this.dumpElements(set) : [] };
        }),
      };
    } catch (error) {
      // The table is not there, or something in it went while it was read: then the generation has changed.
      if (isErrno(error, ERRNO.ENOENT)) return undefined;
      throw error;
    }
  }

  #table(ref: TableRef): ObservedTable | undefined {
    const bytes = this.#write((out) => writeTableName(out, nft.NFT_MSG_GETTABLE, 0, ref));
    const { payload } = this.#connection.get(bytes, () => ({ op: 'NFT_MSG_GETTABLE', object: describeTable(ref) }));
    return parseTable(payload);
  }

  #sets(ref: TableRef): ObservedSet[] {
    const answers = this.#dump('NFT_MSG_GETSET', describeTable(ref), (out) =>
      writeNftMessage(out, nft.NFT_MSG_GETSET, NLM_F_DUMP, familyNumber(ref.family), (attributes) => {
        attributes.string(nft.NFTA_SET_TABLE, ref.table);
      }),
    );
    return parseEach(answers, parseSet);
  }

  #dump(op: string, object: string, write: (out: ByteWriter) => void): readonly NetlinkMessage[] {
    return this.#connection.dump(this.#write(write), () => ({ op, object }));
  }

  #write(write: (out: ByteWriter) => void): Uint8Array {
    this.#request.truncate(0);
    write(this.#request);
    return this.#request.finish();
  }

  /** One batch for all transactions: its buffer has grown to what they need. */
  #batch(): Batch {
    if (this.#prepared === undefined) {
      const canDestroy = this.#canDestroy ?? this.#probeDestroy();
      this.#prepared = new Batch(canDestroy ? undefined : (set, elements) => this.#findExisting(set, elements));
    }
    return this.#prepared;
  }

  #probeDestroy(): boolean {
    const batch = new Batch();
    batch.begin();
    batch.destroyTable(PROBE_TABLE);
    try {
      this.#connection.batch(batch.end(), (index) => batch.describe(index));
      return true;
    } catch (error) {
      if (isErrno(error, ERRNO.EINVAL, ERRNO.EOPNOTSUPP)) return false;
      throw error;
    }
  }

  /** Asks for each element by its key, which costs no more than the elements asked for. */
  #findExisting(set: NftSet, elements: readonly SetElement[]): SetElement[] {
    const codec = elementCodec(set);
    return elements.filter((_, index) => {
      const one = elements.slice(index, index + 1);
      const bytes = this.#write((out) => codec.writeMessage(out, nft.NFT_MSG_GETSETELEM, 0, one, 0));
      try {
        this.#connection.get(bytes, (_index, offset) => ({
          op: 'NFT_MSG_GETSETELEM',
          object: codec.describe(bytes, offset),
        }));
        return true;
      } catch (error) {
        if (isErrno(error, ERRNO.ENOENT)) return false;
        throw error;
      }
    });
  }
}

function parseEach<T>(messages: readonly NetlinkMessage[], parse: (payload: Uint8Array) => T | undefined): T[] {
  return messages.map(({ payload }) => parse(payload)).filter((object) => object !== undefined);
}

function describeTable({ family, table }: TableRef): string {
  return `table ${family} ${table}`;
}
