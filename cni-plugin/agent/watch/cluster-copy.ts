/** The copy of the cluster's state on disk, to start from while the store is away. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Remembered } from '../../../controller/store/evidence.ts';
import type { Entry } from '../../../controller/store/store.ts';

export interface ClusterCopy {
  /** prefixes that are whole in it */
  readonly seen: readonly string[];
  readonly entries: readonly Entry[];
  /** of the store that it is of; absent in copies of older versions */
  readonly history?: Remembered;
}

const FILE = 'cluster.json';

export function copyPath(stateDir: string): string {
  return join(stateDir, FILE);
}

/** Replaces what was there; what cannot be written is logged. */
export function writeCopy(stateDir: string, copy: ClusterCopy, log: Logger): void {
  const path = copyPath(stateDir);
  try {
    writeFileSync(`${path}.next`, JSON.stringify(copy), { mode: 0o600 });
    renameSync(`${path}.next`, path);
  } catch (error) {
    log.warn({ op: 'cache', path, err: error }, 'cannot keep a copy of the cluster’s state');
  }
}

/** @returns undefined where there is none, or (logged) none that can be read */
export function readCopy(stateDir: string, log: Logger): ClusterCopy | undefined {
  const path = copyPath(stateDir);
  try {
    const copy = JSON.parse(readFileSync(path, 'utf8')) as ClusterCopy;
    return Array.isArray(copy.seen) && Array.isArray(copy.entries) ? copy : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log.warn({ op: 'cache', path, err: error }, 'the copy of the cluster’s state cannot be read');
    return undefined;
  }
}

export function entriesByKey(copy: Pick<ClusterCopy, 'entries'> | undefined): ReadonlyMap<string, Entry> {
  return new Map(copy?.entries.map((entry) => [entry.key, entry]));
}
