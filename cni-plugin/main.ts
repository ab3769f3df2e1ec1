/**
 * The CNI binary `tenet`: hands the process's environment and stdin to plugin.ts, prints what comes back, exits. Runs compiled by
 * deploy/build.ts, whose run-time is Bun. Bun's own stdin and stdout save 9 ms a call over Node's streams, most of a call.
 */
import { askAgent } from './agent-client.ts';
import { MESSAGE_BYTES_LIMIT } from './agent-protocol.ts';
import { runPlugin } from './plugin.ts';
import { readBounded } from './stdin.ts';

/** What is used of the run-time that the binary is compiled with. @see bun.sh/docs, "File I/O" */
declare const Bun: {
  readonly stdin: { stream(): AsyncIterable<Uint8Array> };
  readonly stdout: object;
  write(destination: object, text: string): Promise<number>;
};

async function main(): Promise<void> {
  const readStdin = () => readBounded(Bun.stdin.stream(), MESSAGE_BYTES_LIMIT);
  const { stdout, exitCode } = await runPlugin(process.env, { readStdin, ask: askAgent });
  if (stdout !== '') await Bun.write(Bun.stdout, stdout);
  process.exit(exitCode);
}

// A runtime that has gone has closed our stdout: the answer has no reader.
main().catch(() => process.exit(1));
