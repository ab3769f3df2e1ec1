/** A cluster without a recent backup is warned of, until there is one. */
import { expect, onTestFinished, test } from 'vitest';
import { lastBackups } from '../../../controller/model/kinds/last-backup.ts';
import { ProblemBook } from '../../../controller/model/problems.ts';
import { makeBackup } from '../../../controller/operations/backup.ts';
import { keys } from '../../../controller/store/keys.ts';
import { MemoryStore } from '../../../controller/store/memory-store.ts';
import { watchBackups } from '../../../controller/upkeep/backup-care.ts';
import { startApp } from '../api/fixture.ts';

const DAY_MS = 86_400_000;

/** @param age of the cluster's clock ahead of ours, days */
function watch(store: MemoryStore, age: { days: number }) {
  const book = new ProblemBook({ now: () => '2026-01-01T00:00:00Z' });
  const stopping = new AbortController();
  const now = () => new Date(Date.now() + age.days * DAY_MS);
  const watching = watchBackups({ store, book, days: 7, now, everyMs: 5 }, stopping.signal);
  const stop = async () => {
    stopping.abort();
    await watching;
  };
  onTestFinished(stop);
  return { stop, texts: () => book.all().map(({ kind, text }) => `${kind}: ${text}`) };
}

test('one that never had a backup, and one whose backup is old', async () => {
  const memory = new MemoryStore();
  const { registry } = await startApp({ store: memory });
  const age = { days: 6 };
  const { texts, stop } = watch(memory, age);
  let looks = 0;
  const get = memory.get.bind(memory);
  memory.get = (key, options) => {
    if (key === keys.lastBackup) looks++;
    return get(key, options);
  };
  await expect.poll(() => looks).toBeGreaterThan(2);
  expect(texts()).toEqual([]);
  age.days = 8;
  await expect
    .poll(texts)
    .toEqual([expect.stringMatching(/^backup_old: no backup has been taken since .*, more than 7 days ago$/)]);
  for await (const _ of await makeBackup(registry, '0'));
  age.days = 6;
  await expect.poll(texts).toEqual([]);
  age.days = 15;
  await expect.poll(texts).toEqual([expect.stringMatching(/^backup_old: the last backup is of /)]);
  await stop();
  expect(texts()).toEqual([]);
});

test('a note that cannot be read counts as none', async () => {
  const memory = new MemoryStore();
  await startApp({ store: memory });
  await memory.commit([], [{ kind: 'put', key: keys.lastBackup, value: '{"schema":9}' }]);
  const { texts } = watch(memory, { days: 8 });
  await expect.poll(texts).toEqual([expect.stringMatching(/^backup_old: no backup/)]);
});

test('a backup that is cut short leaves no note', async () => {
  const memory = new MemoryStore();
  const { registry } = await startApp({ store: memory });
  const lines = await makeBackup(registry, '0');
  await lines.next();
  await lines.return();
  expect((await memory.get(keys.lastBackup)).entry).toBeUndefined();
  for await (const _ of await makeBackup(registry, '0'));
  const { entry } = await memory.get(keys.lastBackup);
  expect(entry && lastBackups.get(entry)).toMatchObject({ by: registry.name });
});
