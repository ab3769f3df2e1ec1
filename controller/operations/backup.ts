/**
 * A copy of all records that make the cluster, as they were at one revision, with the history that they are of. What is told for a
 * moment alone (who is alive, who leads, what is enforced, denied or wrong) is not in it.
 */
import { createHash } from 'node:crypto';
import { Unavailable } from '../errors.ts';
import { BACKED_UP, BackupWriter } from '../model/backup.ts';
import { histories } from '../model/kinds/history.ts';
import { lastBackups } from '../model/kinds/last-backup.ts';
import { noteStoreError } from '../store/findings.ts';
import { keys } from '../store/keys.ts';
import { Compacted, type Listing, type Revision } from '../store/store.ts';
import { getCluster } from './clusters.ts';
import type { Registry } from './registry.ts';

/** Records that are read, and handed on, at once. */
const PAGE = 500;

/**
 * @param version of this controller
 * @returns parts of the file, each made when it is asked for; they end with an error where the copy cannot be whole any more
 * @throws NotFound before the cluster is born, RecordError, Unavailable
 */
export async function makeBackup(
  registry: Registry,
  version: string,
): Promise<AsyncGenerator<string, void, undefined>> {
  const { store } = registry;
  await getCluster(store);
  const { history: during } = store;
  const { entry, revision } = await store.get(keys.history);
  const history = entry && histories.find(entry);
  const writer = new BackupWriter(createHash('sha256'));
  const at = registry.now().toISOString();
  const head = writer.head({ version, at, revision, ...(history && { history }) });
  return lines();

  /** All of it has been handed on by now, whatever becomes of this. */
  async function remember(): Promise<void> {
    const { name, book } = registry;
    const about = 'note of the last backup';
    try {
      const value = lastBackups.format({ at, revision, by: name });
      await store.commit([], [{ kind: 'put', key: keys.lastBackup, value }]);
      book.solved('store_refused', about);
    } catch (error) {
      noteStoreError(book, about, error);
    }
  }

  async function* lines(): AsyncGenerator<string, void, undefined> {
    yield head;
    for (const { prefix } of BACKED_UP) {
      let after = '';
      for (let more = true; more; ) {
        const page = await listThen(registry, prefix, revision, after);
        if (store.history !== during)
          throw new Unavailable('store', 'another history of the store has begun meanwhile');
        yield page.entries.map((record) => writer.record(record)).join('');
        after = page.entries.at(-1)?.key ?? after;
        more = page.more;
      }
    }
    yield writer.end();
    await remember();
  }
}

async function listThen({ store }: Registry, prefix: string, at: Revision, after: string): Promise<Listing> {
  try {
    return await store.list(prefix, { at, after, limit: PAGE });
  } catch (cause) {
    if (!(cause instanceof Compacted)) throw cause;
    throw new Unavailable('store', 'the store has dropped the revision that was being copied: try again', { cause });
  }
}
