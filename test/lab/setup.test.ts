/**
 * What test/lab/setup.sh says on a machine that cannot run Tenet. The machines are made of stand-ins for the commands it asks;
 * it refuses before it takes its lock or changes anything.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';

const script = join(import.meta.dirname, 'setup.sh');

/** A machine that would do, but for the stand-ins given: a command's output, or `missing`. */
function runOn(commands: Readonly<Record<string, string>>) {
  const bin = mkdtempSync(join(tmpdir(), 'setup-'));
  onTestFinished(() => rmSync(bin, { recursive: true }));
  mkdirSync(bin, { recursive: true });
  for (const tool of ['sort', 'head', 'dirname']) symlinkSync(`/usr/bin/${tool}`, join(bin, tool));
  const machine = { id: '0', node: 'v20.11.0', npm: '11', ...commands };
  for (const [name, output] of Object.entries(machine)) {
    if (output !== 'missing') writeFileSync(join(bin, name), `#!/bin/sh\necho '${output}'\n`, { mode: 0o755 });
  }
  if (commands.uname === undefined)
    writeFileSync(join(bin, 'uname'), '#!/bin/sh\n[ "$1" = -m ] && echo x86_64 || echo Linux\n', { mode: 0o755 });
  return spawnSync('/bin/sh', [script], { env: { PATH: bin, npm_lifecycle_event: 'demo' }, encoding: 'utf8' });
}

describe('a machine is refused with what is missing and how to get it', () => {
  test.each([
    ['not Linux', { uname: 'Darwin' }, /needs Linux, this is Darwin/, /Debian 12/],
    ['not root', { id: '1000' }, /needs root/, /sudo .* npm run demo/],
    ['no Node.js', { node: 'missing' }, /needs Node\.js 20\.11 or newer, there is none/, /nodejs\.org/],
    ['an old Node.js', { node: 'v18.20.4' }, /needs Node\.js 20\.11 or newer, .* is v18\.20\.4/, /nodejs\.org/],
    ['a Node.js just too old', { node: 'v20.9.0' }, /is v20\.9\.0/, /nodejs\.org/],
    ['no npm', { npm: 'missing' }, /needs npm/, /comes with Node\.js/],
  ])('%s', (_, commands, what, how) => {
    const { status, stdout, stderr } = runOn(commands);
    expect(stderr).toMatch(what);
    expect(stderr).toMatch(how);
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });
});
