/**
 * The CNI binary `tenet`: hands the process's environment and stdin to plugin.ts, prints what comes back, exits. Everything else
 * is elsewhere; nothing here is worth a test without a process.
 */
import { runPlugin } from './plugin.ts';

// A runtime that has gone closes our stdout: there is nobody left to tell.
process.stdout.on('error', () => process.exit(1));

void runPlugin(process.env, process.stdin).then(({ stdout, exitCode }) => {
  if (stdout === '') process.exit(exitCode);
  process.stdout.write(stdout, () => process.exit(exitCode));
});
