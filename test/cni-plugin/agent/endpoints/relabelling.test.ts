/** Labels changed through REST are remembered by the node: its journal has them when the record is lost. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AgentContext } from '../../../../cni-plugin/agent/context.ts';
import { Journal } from '../../../../cni-plugin/agent/endpoints/journal.ts';
import { rememberChanges } from '../../../../cni-plugin/agent/endpoints/relabelling.ts';
import { Snapshot } from '../../../../cni-plugin/agent/watch/snapshot.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import type { Endpoint } from '../../../../controller/model/records.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { endpoint, tenant } from '../builders.ts';

const pod = endpoint('aaaaaaaaaaaa', tenant('red', 42), '10.170.0.1', { labels: { app: 'web' } });
const KEY = keys.endpoint('red', 'node1', pod.id);

let dir: string;
let journal: Journal;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tenet-relabel-'));
  journal = Journal.open(dir, 'node1');
  await journal.record({ op: 'endpoint', local: { endpoint: pod, netns: '/x', network: 'n', phase: 'ready' } });
});
afterEach(async () => {
  await journal.close();
  rmSync(dir, { recursive: true });
});

/** What the journal says after the store has shown this. */
async function after(stored: Endpoint, changed: readonly string[] | undefined): Promise<Endpoint | undefined> {
  const snapshot = new Snapshot();
  snapshot.put({ key: KEY, value: formatRecord(stored), createRevision: 1, modRevision: 1 });
  const log = pino({ level: 'silent' });
  await rememberChanges({ journal, snapshot, log } as unknown as AgentContext, changed);
  return journal.endpoints.get(pod.id)?.endpoint;
}

const ports = [{ name: 'http', containerPort: 80, protocol: 'TCP' }] as const;

test.each([
  ['told', [KEY]],
  ['anything', undefined],
])('labels and ports, when %s has changed', async (_, changed) => {
  const relabelled = { ...pod, labels: { app: 'quarantined' }, ports };
  expect(await after(relabelled, changed)).toEqual(relabelled);
  await journal.close();
  journal = Journal.open(dir, 'node1');
  expect(journal.endpoints.get(pod.id)?.endpoint).toEqual(relabelled);
});

test('nothing else of a record, and nothing of an earlier container’s', async () => {
  expect(await after({ ...pod, name: 'else' }, [KEY])).toEqual(pod);
  expect(await after({ ...pod, labels: { app: 'old' }, createdAt: '2025-01-01T00:00:00Z' }, [KEY])).toEqual(pod);
  expect(await after({ ...pod, labels: { app: 'x' } }, [keys.endpoint('red', 'node2', pod.id)])).toEqual(pod);
});
