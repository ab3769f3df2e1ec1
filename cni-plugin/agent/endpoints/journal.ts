/**
 * What this node must remember by itself: its blocks, its endpoints, and what it still owes the store. An append-only file of
 * JSON lines, on disk (fdatasync) before anything is built on it, rewritten whole at start. Never read by anyone else.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  write as writeSome,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Block, Endpoint } from '../../../controller/model/records.ts';
import type { IpPrefix } from '../../../dataplane/address.ts';
import { tryLock } from '../../../dataplane/system/libc.ts';

/** `write(2)` at a position of a file: it may take less than it is given. */
type Write = (
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<{ readonly bytesWritten: number }>;
const syncFd = promisify(fdatasync);

/** An endpoint of this node, and how to find its container again. */
export interface LocalEndpoint {
  readonly endpoint: Endpoint;
  readonly netns: string;
  /** name of the network configuration that attached it */
  readonly network: string;
  /**
   * `wiring` until ADD is about to answer, `leaving` from when DEL is about to answer until the address is free: what a crash leaves in
   * one of them is undone. `quarantined`: its address is another's, it is cut off until its DEL
   */
  readonly phase: 'wiring' | 'ready' | 'quarantined' | 'leaving';
}

/** One change of what is remembered. */
export type JournalRecord =
  | { readonly op: 'block'; readonly tenant: string; readonly prefix: IpPrefix }
  | { readonly op: 'unblock'; readonly tenant: string; readonly prefix: IpPrefix }
  | { readonly op: 'endpoint'; readonly local: LocalEndpoint }
  | { readonly op: 'ready'; readonly id: string }
  /** its address is another's: cut off until DEL, and no record of it belongs in the store */
  | { readonly op: 'quarantined'; readonly id: string }
  /** the container is cut off; the store has yet to hear of it */
  | { readonly op: 'leaving'; readonly id: string }
  /** the address is free again */
  | { readonly op: 'gone'; readonly id: string }
  | { readonly op: 'unpublished'; readonly id: string };

const FILE = 'journal.jsonl';
const VERSION_LINE = JSON.stringify({ journal: 1 });

/** What says again that a record is owed, by what has become of the endpoint. */
const OWED_BY = {
  wiring: 'leaving',
  ready: 'leaving',
  leaving: 'leaving',
  quarantined: 'quarantined',
  gone: 'gone',
} as const;

/** The journal's file holds what it cannot: damage that is more than a line cut short at its end. */
export class JournalError extends Error {
  readonly code = 'journal';
}

/** Two agents on one state directory would undo each other's work. @returns the descriptor that holds the lock */
function lockDirectory(directory: string): number {
  const fd = openSync(directory, 'r');
  if (tryLock(fd)) return fd;
  closeSync(fd);
  throw new JournalError(`${directory} is in use by another agent`);
}

export class Journal {
  /** whose journal it is */
  readonly node: string;
  readonly #blocks = new Map<string, Block>();
  readonly #endpoints = new Map<string, LocalEndpoint>();
  /** endpoint ids still in the store, with their tenant */
  readonly #owed = new Map<string, string>();
  readonly #fd: number;
  readonly #write: Write;
  readonly #lock: number;
  /** bytes of whole lines */
  #size: number;
  #queue: { readonly text: string; readonly done: (error?: unknown) => void }[] = [];
  #flushing: Promise<void> | undefined;
  #onBlock: (block: Block, isOurs: boolean) => void = () => undefined;

  /** @throws JournalError if the file is damaged in its middle, or another agent has it */
  static open(stateDir: string, node: string, write: Write = promisify(writeSome)): Journal {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    return new Journal(join(stateDir, FILE), node, write);
  }

  private constructor(path: string, node: string, write: Write) {
    this.node = node;
    this.#write = write;
    this.#lock = lockDirectory(dirname(path));
    try {
      if (existsSync(path)) this.#replay(path);
      this.#fd = this.#rewrite(path);
      this.#size = fstatSync(this.#fd).size;
    } catch (error) {
      closeSync(this.#lock);
      throw error;
    }
  }

  get blocks(): ReadonlyMap<string, Block> {
    return this.#blocks;
  }

  get endpoints(): ReadonlyMap<string, LocalEndpoint> {
    return this.#endpoints;
  }

  /** Endpoint id → tenant of those whose record must still leave the store. */
  get owed(): ReadonlyMap<string, string> {
    return this.#owed;
  }

  /** Tells of each block that is there now, and from now on of each that is taken or given back. */
  followBlocks(onBlock: (block: Block, isOurs: boolean) => void): void {
    this.#onBlock = onBlock;
    for (const block of this.#blocks.values()) onBlock(block, true);
  }

  /** Remembers, and resolves once it is on disk. What is remembered counts at once. */
  record(record: JournalRecord): Promise<void> {
    this.#apply(record);
    return new Promise((resolve, reject) => {
      const done = (error?: unknown) => (error === undefined ? resolve() : reject(error));
      this.#queue.push({ text: `${JSON.stringify(record)}\n`, done });
      this.#flushing ??= this.#flush();
    });
  }

  async close(): Promise<void> {
    await this.#flushing;
    closeSync(this.#fd);
    closeSync(this.#lock);
  }

  /** Everything waiting goes to disk in one write and one sync: 32 ADDs at once pay for one. */
  async #flush(): Promise<void> {
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      let failure: unknown;
      try {
        await this.#append(Buffer.from(batch.map(({ text }) => text).join('')));
      } catch (error) {
        failure = error;
      }
      for (const { done } of batch) done(failure);
    }
    this.#flushing = undefined;
  }

  /** A full disk takes part of a write without a word: what is not whole is taken back, or the next line would be glued to it. */
  async #append(bytes: Buffer): Promise<void> {
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await this.#write(this.#fd, bytes, at, bytes.length - at, this.#size + at);
        at += bytesWritten;
      }
      await syncFd(this.#fd);
      this.#size += bytes.length;
    } catch (error) {
      ftruncateSync(this.#fd, this.#size);
      throw error;
    }
  }

  #replay(path: string): void {
    const lines = readFileSync(path, 'utf8').split('\n');
    const complete = lines.slice(0, -1);
    if (complete.length === 0)
      throw new JournalError(`${path}: is empty, and never was: what this node had is unknown`);
    complete.forEach((line, index) => {
      try {
        const parsed = JSON.parse(line);
        if (index === 0 && line !== VERSION_LINE) throw new Error(`is of another version: ${line}`);
        if (index > 0) this.#apply(parsed as JournalRecord);
      } catch (error) {
        throw new JournalError(`${path}:${index + 1}: ${error instanceof Error ? error.message : error}`);
      }
    });
  }

  /** Writes what is remembered beside the old file and puts it in its place. @returns the descriptor to append to */
  #rewrite(path: string): number {
    const records: JournalRecord[] = [];
    for (const { tenant, prefix } of this.#blocks.values()) records.push({ op: 'block', tenant, prefix });
    for (const local of this.#endpoints.values()) records.push({ op: 'endpoint', local });
    const owed = Array.from(this.#owed, ([id, tenant]) =>
      JSON.stringify({ op: OWED_BY[this.#endpoints.get(id)?.phase ?? 'gone'], id, tenant }),
    );
    const lines = [VERSION_LINE, ...records.map((record) => JSON.stringify(record)), ...owed];
    const next = `${path}.next`;
    const fd = openSync(next, 'w', 0o600);
    writeFileSync(fd, `${lines.join('\n')}\n`);
    fsyncSync(fd);
    renameSync(next, path);
    const directory = openSync(dirname(path), 'r');
    fsyncSync(directory);
    closeSync(directory);
    return fd;
  }

  #apply(record: JournalRecord & { readonly tenant?: string }): void {
    switch (record.op) {
      case 'block': {
        const block = { tenant: record.tenant, prefix: record.prefix, node: this.node };
        this.#blocks.set(record.prefix, block);
        this.#onBlock(block, true);
        break;
      }
      case 'unblock': {
        const block = this.#blocks.get(record.prefix);
        this.#blocks.delete(record.prefix);
        if (block !== undefined) this.#onBlock(block, false);
        break;
      }
      case 'endpoint':
        this.#endpoints.set(record.local.endpoint.id, record.local);
        this.#owed.delete(record.local.endpoint.id);
        break;
      case 'ready': {
        const local = this.#endpoints.get(record.id);
        if (local !== undefined) this.#endpoints.set(record.id, { ...local, phase: 'ready' });
        break;
      }
      case 'quarantined':
      case 'leaving': {
        const local = this.#endpoints.get(record.id);
        if (local === undefined) break;
        this.#endpoints.set(record.id, { ...local, phase: record.op });
        this.#owed.set(record.id, local.endpoint.tenant);
        break;
      }
      case 'gone': {
        const local = this.#endpoints.get(record.id);
        const tenant = local?.endpoint.tenant ?? record.tenant;
        // One that was leaving is owed since then, or no more.
        if (tenant !== undefined && local?.phase !== 'leaving') this.#owed.set(record.id, tenant);
        this.#endpoints.delete(record.id);
        break;
      }
      case 'unpublished':
        this.#owed.delete(record.id);
        break;
      default:
        throw new Error(`has an unknown record ${JSON.stringify(record)}`);
    }
  }
}
