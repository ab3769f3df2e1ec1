/**
 * Composes tenetctl from its commands and turns whatever a command ends with into an exit code and words on stderr.
 * Holds no command's logic.
 */
import { Command, CommanderError } from 'commander';
import { addApply } from './commands/apply.ts';
import { addBackup, addRestore } from './commands/backup.ts';
import { addCreate } from './commands/create.ts';
import { addDelete } from './commands/delete.ts';
import { addDenials } from './commands/denials.ts';
import { addExplain } from './commands/explain.ts';
import { addGet } from './commands/get.ts';
import { addNode } from './commands/node.ts';
import { addTenant } from './commands/tenant.ts';
import { addVersion } from './commands/version.ts';
import { Connection, DEFAULT_SERVER, DEFAULT_TOKEN_FILE } from './connection.ts';
import { CliFailure, EXIT, EXIT_HELP, type ExitCode } from './failures.ts';
import type { OpenSession, Terminal } from './terminal.ts';
import { joinWait } from './waiting.ts';

/** Options that every command has. */
interface GlobalOptions {
  readonly server?: string;
  readonly tokenFile?: string;
}

/**
 * Runs one command line.
 * @param args without the program's own name
 * @returns the process's exit code; failures have been said on `terminal.err`
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  try {
    await buildProgram(terminal).parseAsync(joinWait(args), { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    return report(error, terminal);
  }
}

function buildProgram(terminal: Terminal): Command {
  const program = new Command('tenetctl')
    .description('Show and change the tenants of a Tenet cluster.')
    .option('--server <url>', `http://HOST:PORT or unix:/PATH (environment: TENET_SERVER; default: ${DEFAULT_SERVER})`)
    .option(
      '--token-file <path>',
      `file with the token (environment: TENET_TOKEN_FILE, or TENET_TOKEN with the token; default: ${DEFAULT_TOKEN_FILE})`,
    )
    .addHelpText('after', EXIT_HELP)
    .showHelpAfterError('(see tenetctl --help)')
    .configureOutput({
      writeOut: terminal.out,
      writeErr: terminal.err,
      outputError: (text, write) => write(text.replace(/^error: /, 'tenetctl: ')),
    })
    .exitOverride();
  const open: OpenSession = (command) => ({
    ...terminal,
    connection: new Connection(command.optsWithGlobals<GlobalOptions>(), terminal.env),
  });
  const shown = [addGet, addCreate, addApply, addDelete, addExplain, addDenials, addTenant, addNode];
  for (const add of [...shown, addBackup, addRestore, addVersion]) add(program, open, terminal);
  return program;
}

/** Commander has already said its own errors. Anything unexpected is a fault of tenetctl, and still only one line. */
function report(error: unknown, { err }: Terminal): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.invalid;
  if (!(error instanceof CliFailure)) {
    err(`tenetctl: internal error: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT.failure;
  }
  err(error.message.replace(/^/gm, 'tenetctl: ').concat('\n'));
  if (error.hint !== undefined) err(`  hint: ${error.hint}\n`);
  return error.exitCode;
}
