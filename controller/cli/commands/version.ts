/**
 * `tenetctl version`: the version of tenetctl. Asks no controller.
 */
import type { Command } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import type { OpenSession, Terminal } from '../terminal.ts';

export function addVersion(program: Command, _open: OpenSession, { out }: Terminal): void {
  program
    .command('version')
    .description('show the version of tenetctl')
    .action(() => out(`tenetctl ${packageJson.version}\n`));
}
