/** What of an answer goes to which stream. */
import { expect, test } from 'vitest';
import { show } from '../../../controller/cli/commands/show.ts';

test('what a list leaves out is named on stderr', () => {
  let out = '';
  let err = '';
  const terminal = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    nowMs: () => 0,
  };
  const unreadable = [{ key: 'nodes/node9', reason: 'has schema 9' }];
  show(terminal as unknown as Parameters<typeof show>[0], 'name', 'nodes', { items: [{ name: 'node1' }], unreadable });
  expect(out).toBe('node/node1\n');
  expect(err).toBe('tenetctl: left out nodes/node9, which the controller cannot read: has schema 9\n');
});
