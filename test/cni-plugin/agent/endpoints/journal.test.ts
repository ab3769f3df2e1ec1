/** The journal: what was remembered is there again, a line cut short is not, damage is told. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, write, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Journal, JournalError } from '../../../../cni-plugin/agent/endpoints/journal.ts';
import { parsePrefix } from '../../../../dataplane/address.ts';
import { endpoint, tenant } from '../builders.ts';

/** A disk with so many bytes left: a write is cut short, and the next one fails. */
function diskOf(room: number) {
  const disk = { room };
  const writeWhole = promisify(write);
  const writeWhatFits = async (fd: number, bytes: Uint8Array, offset: number, length: number, position: number) => {
    if (disk.room === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const fitting = Math.min(length, disk.room);
    disk.room -= fitting;
    return writeWhole(fd, bytes, offset, fitting, position);
  };
  return { disk, writeWhatFits };
}

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'tenet-journal-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const red = tenant('red', 42);
const pod = endpoint('aaaaaaaaaaaa', red, '10.170.0.1');
const block = { op: 'block', tenant: 'red', prefix: parsePrefix('10.170.0.0/27') } as const;
const wiring = {
  op: 'endpoint',
  local: { endpoint: pod, netns: '/run/netns/x', network: 'tenet', phase: 'wiring' },
} as const;

async function reopened(journal: Journal): Promise<Journal> {
  await journal.close();
  return Journal.open(dir, 'node1');
}

describe('journal', () => {
  it('remembers blocks and endpoints over a restart, and in which phase they were', async () => {
    const journal = Journal.open(dir, 'node1');
    await journal.record(block);
    await journal.record(wiring);
    const second = await reopened(journal);
    expect([...second.blocks.values()]).toEqual([{ tenant: 'red', prefix: '10.170.0.0/27', node: 'node1' }]);
    expect(second.endpoints.get(pod.id)).toEqual({
      endpoint: pod,
      netns: '/run/netns/x',
      network: 'tenet',
      phase: 'wiring',
    });
    await second.record({ op: 'ready', id: pod.id });
    const third = await reopened(second);
    expect(third.endpoints.get(pod.id)?.phase).toBe('ready');
    await third.close();
  });

  it('owes the store the removal of an endpoint until told otherwise, over restarts', async () => {
    const journal = Journal.open(dir, 'node1');
    await journal.record(wiring);
    await journal.record({ op: 'gone', id: pod.id });
    expect(journal.endpoints.size).toBe(0);
    const second = await reopened(await reopened(journal));
    expect([...second.owed]).toEqual([[pod.id, 'red']]);
    await second.record({ op: 'unpublished', id: pod.id });
    const third = await reopened(second);
    expect(third.owed.size).toBe(0);
    await third.close();
  });

  it('remembers an endpoint that is leaving, and whether the store knows', async () => {
    const journal = Journal.open(dir, 'node1');
    await journal.record(wiring);
    await journal.record({ op: 'leaving', id: pod.id });
    const second = await reopened(await reopened(journal));
    expect(second.endpoints.get(pod.id)?.phase).toBe('leaving');
    expect([...second.owed]).toEqual([[pod.id, 'red']]);
    await second.record({ op: 'unpublished', id: pod.id });
    const third = await reopened(await reopened(second));
    expect(third.endpoints.get(pod.id)?.phase).toBe('leaving');
    expect(third.owed.size).toBe(0);
    await third.record({ op: 'gone', id: pod.id });
    const fourth = await reopened(third);
    expect([fourth.endpoints.size, fourth.owed.size]).toEqual([0, 0]);
    await fourth.close();
  });

  it('is on disk when it says so', async () => {
    const journal = Journal.open(dir, 'node1');
    await Promise.all([journal.record(block), journal.record(wiring)]);
    const text = readFileSync(join(dir, 'journal.jsonl'), 'utf8');
    expect(text).toContain('10.170.0.0/27');
    expect(text).toContain(pod.id);
    await journal.close();
  });

  it('drops a last line that was cut short by a crash', async () => {
    const journal = Journal.open(dir, 'node1');
    await journal.record(block);
    await journal.close();
    appendFileSync(join(dir, 'journal.jsonl'), '{"op":"unblock","tena');
    const second = Journal.open(dir, 'node1');
    expect(second.blocks.size).toBe(1);
    await second.record(wiring);
    const third = await reopened(second);
    expect(third.endpoints.size).toBe(1);
    await third.close();
  });

  it('takes back what a full disk took only half of, and goes on when there is room', async () => {
    const { disk, writeWhatFits } = diskOf(Number.POSITIVE_INFINITY);
    const journal = Journal.open(dir, 'node1', writeWhatFits);
    await journal.record(block);
    disk.room = 40;
    await expect(journal.record(wiring)).rejects.toThrow(/ENOSPC/);
    disk.room = Number.POSITIVE_INFINITY;
    await journal.record({ op: 'unblock', tenant: 'red', prefix: block.prefix });
    const again = await reopened(journal);
    expect(again.blocks.size).toBe(0);
    expect(again.endpoints.size).toBe(0);
    await again.close();
  });

  it('is one agent’s: a second is refused until the first has closed it', async () => {
    const journal = Journal.open(dir, 'node1');
    expect(() => Journal.open(dir, 'node1')).toThrow(/in use by another agent/);
    await journal.close();
    await Journal.open(dir, 'node1').close();
  });

  it('refuses an empty file', () => {
    writeFileSync(join(dir, 'journal.jsonl'), '');
    expect(() => Journal.open(dir, 'node1')).toThrow(/empty/);
  });

  it('refuses damage in the middle, naming the line', async () => {
    const journal = Journal.open(dir, 'node1');
    await journal.record(block);
    await journal.close();
    const path = join(dir, 'journal.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"op":"block"', '"op":"blo'));
    expect(() => Journal.open(dir, 'node1')).toThrow(JournalError);
    expect(() => Journal.open(dir, 'node1')).toThrow(/journal\.jsonl:2/);
  });
});
