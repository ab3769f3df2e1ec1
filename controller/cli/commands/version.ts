/**
 * `tenetctl version`: its own version, without asking anybody.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import type { OpenSession } from '../program.ts';
import type { Terminal } from '../terminal.ts';

export function addVersion(program: Command, _open: OpenSession, { out }: Terminal): void {
  program
    .command('version')
    .description('say which version of tenetctl this is')
    .action(() => out(`tenetctl ${ownVersion()}\n`));
}

/** From the package.json above this file, which is nearer to the sources than to what they compile to. */
function ownVersion(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
  return version;
}
