/**
 * The file of a backup, written and read line by line, JSON on each: a head that says of what and when it is, the records as the store
 * has them, what was left out, and last a hash of all before, so that a file that was cut or changed is refused. Pure.
 */
import { type TSchema, Type } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { kindOf, readRecord } from './kinds/all.ts';
import { blocks } from './kinds/block.ts';
import { namespaceClaims, subnetClaims, vniClaims } from './kinds/claim.ts';
import { clusters } from './kinds/cluster.ts';
import { endpoints } from './kinds/endpoint.ts';
import { History } from './kinds/history.ts';
import { type RecordOf, type StoredText, Unreadable } from './kinds/kind.ts';
import { namespaces } from './kinds/namespace.ts';
import { nodes } from './kinds/node.ts';
import { peerings } from './kinds/peering.ts';
import { policies } from './kinds/policy.ts';
import { Count, Time } from './kinds/shapes.ts';
import { tenants } from './kinds/tenant.ts';

/** Kinds of records that people and controllers make: a restore makes them what the backup says. */
export const CONFIGURED = [
  clusters,
  tenants,
  vniClaims,
  subnetClaims,
  namespaceClaims,
  namespaces,
  policies,
  peerings,
] as const;

/** Kinds of all records in a backup; those that nodes make come last. What is told for a moment alone is in none. */
export const BACKED_UP = [...CONFIGURED, nodes, blocks, endpoints] as const;

const KNOWN: ReadonlySet<string> = new Set(BACKED_UP.map(({ name }) => name));

export const BACKUP_FORMAT = 1;

/** Bytes of a whole file, and characters of one line: a record of the store is smaller. */
export const MOST_BACKUP_BYTES = 256 * 1024 * 1024;
const MOST_LINE = 4 * 1024 * 1024;

const Head = Type.Object({
  tenet: Type.Literal('backup'),
  format: Type.Integer(),
  /** of the controller that wrote it */
  version: Type.String(),
  at: Time,
  /** that all records are of */
  revision: Count,
  /** of the store it was made from, where that had one */
  history: Type.Optional(History),
});
export type BackupHead = RecordOf<typeof Head>;

const Line = Type.Object({ key: Type.String(), value: Type.String() });

const Tail = Type.Object({
  /** of records */
  count: Count,
  /** what could not be read, so that it is not among the records */
  leftOut: Type.Array(Type.Object({ key: Type.String(), reason: Type.String() })),
});
export type BackupTail = RecordOf<typeof Tail>;

const Seal = Type.Object({ sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }) });

/** Such as node's `createHash('sha256')`. */
export interface Hash {
  update(text: string): unknown;
  digest(encoding: 'hex'): string;
}

export class BackupWriter {
  readonly #hash: Hash;
  readonly #leftOut: { readonly key: string; readonly reason: string }[] = [];
  #count = 0;

  constructor(hash: Hash) {
    this.#hash = hash;
  }

  head(head: Omit<BackupHead, 'tenet' | 'format'>): string {
    return this.#line({ tenet: 'backup', format: BACKUP_FORMAT, ...head });
  }

  /** @returns nothing for a record that cannot be read: it would make the file one that no restore takes */
  record({ key, value }: StoredText): string {
    const found = readRecord({ key, value });
    if (found === undefined || found instanceof Unreadable) {
      this.#leftOut.push({ key, reason: found?.reason ?? 'is no key of Tenet’s' });
      return '';
    }
    this.#count++;
    return this.#line({ key, value });
  }

  end(): string {
    const tail = this.#line({ count: this.#count, leftOut: this.#leftOut });
    return `${tail}${JSON.stringify({ sha256: this.#hash.digest('hex') })}\n`;
  }

  #line(object: object): string {
    const line = `${JSON.stringify(object)}\n`;
    this.#hash.update(line);
    return line;
  }
}

/** What is wrong with a file, and in which of its lines. */
export class BackupFault extends Error {
  readonly line: number;

  constructor(line: number, message: string) {
    super(`line ${line}: ${message}`);
    this.line = line;
  }
}

/** What a whole file says of itself. */
export interface BackupSummary {
  readonly head: BackupHead;
  readonly leftOut: BackupTail['leftOut'];
  /** records by kind */
  readonly counts: ReadonlyMap<string, number>;
}

/**
 * Reads a file to its end and checks all of it.
 * @param take gets each record; the file may turn out to be damaged after that
 * @throws BackupFault
 */
export async function readBackup(
  chunks: AsyncIterable<Uint8Array>,
  hash: Hash,
  take: (record: StoredText) => void = () => undefined,
): Promise<BackupSummary> {
  const reader = new BackupReader(hash, take);
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) reader.read(line);
    if (rest.length > MOST_LINE) reader.fail(`has more than ${MOST_LINE} characters: this is no backup`);
  }
  if (rest !== '') reader.fail('has no end: the file was cut');
  return reader.end();
}

class BackupReader {
  readonly #hash: Hash;
  readonly #take: (record: StoredText) => void;
  readonly #counts = new Map<string, number>();
  readonly #keys = new Set<string>();
  #line = 1;
  #head: BackupHead | undefined;
  #tail: BackupTail | undefined;
  #isSealed = false;

  constructor(hash: Hash, take: (record: StoredText) => void) {
    this.#hash = hash;
    this.#take = take;
  }

  /** One line, without its end. */
  read(text: string): void {
    const line = this.#parse(text);
    if (this.#isSealed) this.fail('follows the end of the backup');
    else if (this.#head === undefined) this.#readHead(line);
    else if (this.#tail !== undefined) this.#readSeal(line);
    else if (isTail(line)) this.#readTail(line);
    else this.#readRecord(line);
    if (!this.#isSealed) this.#hash.update(`${text}\n`);
    this.#line++;
  }

  end(): BackupSummary {
    if (this.#head === undefined) this.fail('is not there: the file is empty');
    if (this.#tail === undefined || !this.#isSealed) this.fail('is not there: the file was cut');
    return { head: this.#head, leftOut: this.#tail.leftOut, counts: this.#counts };
  }

  fail(message: string): never {
    throw new BackupFault(this.#line, message);
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return this.fail('is not JSON');
    }
  }

  #readHead(line: unknown): void {
    if (!isHead(line)) this.fail('is no head of a backup');
    if (line.format !== BACKUP_FORMAT)
      this.fail(`the backup has format ${line.format}, this version reads ${BACKUP_FORMAT}`);
    this.#head = line;
  }

  #readRecord(line: unknown): void {
    if (!isLine(line)) this.fail('is no record');
    const { key, value } = line;
    const kind = kindOf(key);
    if (kind === undefined || !KNOWN.has(kind.name)) this.fail(`${key} is not of a kind that a backup holds`);
    const found = readRecord({ key, value });
    if (found instanceof Unreadable) this.fail(`${key} ${found.reason}`);
    if (this.#keys.has(key)) this.fail(`${key} is there twice`);
    this.#keys.add(key);
    this.#counts.set(kind.name, (this.#counts.get(kind.name) ?? 0) + 1);
    this.#take({ key, value });
  }

  #readTail(line: BackupTail): void {
    if (line.count !== this.#keys.size) this.fail(`counts ${line.count} records, and there are ${this.#keys.size}`);
    if (!this.#keys.has(clusters.prefix)) this.fail('the configuration of the cluster is not among the records');
    this.#tail = line;
  }

  #readSeal(line: unknown): void {
    if (!isSeal(line)) this.fail('is no hash');
    if (line.sha256 !== this.#hash.digest('hex'))
      this.fail('is not the hash of what comes before: the file was changed');
    this.#isSealed = true;
  }
}

const isHead = guard<BackupHead>(Head);
const isLine = guard<StoredText>(Line);
const isTail = guard<BackupTail>(Tail);
const isSeal = guard<RecordOf<typeof Seal>>(Seal);

/** Compiled when it is first used. */
function guard<T>(schema: TSchema): (value: unknown) => value is T {
  let validator: Validator | undefined;
  return (value): value is T => {
    validator ??= Compile(schema) as unknown as Validator;
    return validator.Check(value);
  };
}
