/**
 * Files of backups on this machine: written whole or not at all, and checked before they are sent. Speaks to no controller.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BackupFault, type BackupSummary, readBackup } from '../model/backup.ts';
import { CliFailure, EXIT, invalidInput } from './failures.ts';

/** Only its owner may read what the tenants are. */
const MODE = 0o600;

/**
 * Writes a backup beside its place and moves it there once it is whole and on the disk.
 * @param download begins once there is a file to write to
 * @throws CliFailure where it is not whole, or the file cannot be written: then what was there before still is
 */
export async function writeBackup(
  path: string,
  download: () => Promise<AsyncIterable<Uint8Array>>,
): Promise<BackupSummary> {
  const beside = `${path}.${process.pid}.partial`;
  const file = await open(beside, 'wx', MODE).catch(cannotWrite(path));
  try {
    const parts = await download();
    const summary = await checkWhole(
      eachTo(parts, async (part) => void (await file.writeFile(part).catch(cannotWrite(path)))),
    );
    await file.sync().catch(cannotWrite(path));
    await file.close();
    await rename(beside, path).catch(cannotWrite(path));
    await syncFolder(dirname(path));
    return summary;
  } catch (error) {
    await file.close();
    await unlink(beside).catch(ignoreGone);
    throw error;
  }
}

/** Hands a backup on as it comes. @throws CliFailure at its end where it was not whole */
export async function passBackup(
  parts: AsyncIterable<Uint8Array>,
  out: (text: string) => void,
): Promise<BackupSummary> {
  const decoder = new TextDecoder();
  return await checkWhole(eachTo(parts, async (part) => out(decoder.decode(part, { stream: true }))));
}

/** The bytes of a file, again at each call. */
export type Content = () => AsyncIterable<Uint8Array>;

export function fileContent(path: string): Content {
  return async function* () {
    try {
      yield* createReadStream(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw invalidInput([`${path} cannot be read: ${code === 'ENOENT' ? 'it does not exist' : code}`]);
    }
  };
}

export function textContent(text: string): Content {
  return async function* () {
    yield Buffer.from(text);
  };
}

/** @param name for people @throws CliFailure (invalid) naming the line at fault */
export async function checkContent(name: string, content: Content): Promise<BackupSummary> {
  try {
    return await readBackup(content(), createHash('sha256'));
  } catch (error) {
    if (error instanceof BackupFault) throw invalidInput([`${name}: ${error.message}`]);
    throw error;
  }
}

/** `3 tenants and 12 policies` */
export function describeCounts({ counts }: BackupSummary): string {
  const count = (kind: string, one: string, many: string) => {
    const number = counts.get(kind) ?? 0;
    return `${number} ${number === 1 ? one : many}`;
  };
  return `${count('tenant', 'tenant', 'tenants')} and ${count('policy', 'policy', 'policies')}`;
}

async function checkWhole(parts: AsyncIterable<Uint8Array>): Promise<BackupSummary> {
  try {
    return await readBackup(parts, createHash('sha256'));
  } catch (error) {
    if (!(error instanceof BackupFault)) throw error;
    throw new CliFailure(EXIT.failure, `the backup did not come whole: ${error.message}`, 'try again', {
      cause: error,
    });
  }
}

async function* eachTo(
  parts: AsyncIterable<Uint8Array>,
  take: (part: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const part of parts) {
    await take(part);
    yield part;
  }
}

/** So that its new name is on the disk as well. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(cannotWrite(path));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function cannotWrite(path: string): (error: unknown) => never {
  return (error) => {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CliFailure(EXIT.failure, `${path} cannot be written: ${code ?? message}`, undefined, { cause: error });
  };
}

function ignoreGone(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
