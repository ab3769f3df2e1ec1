/**
 * Runs tenetctl inside the test's process, with streams that can be read afterwards. No test of its own.
 */
import { run } from '../../../controller/cli/program.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** For commands that go on until they are interrupted. */
export interface Watcher {
  /** told all output so far, whenever there is more */
  readonly out?: (text: string) => void;
  readonly err?: (text: string) => void;
  readonly interrupted?: AbortSignal;
}

/** @param env nothing of the real environment gets in @param input standard input */
export async function tenetctl(
  args: readonly string[],
  env: Record<string, string> = {},
  input = '',
  watcher: Watcher = {},
): Promise<Outcome> {
  let out = '';
  let err = '';
  const code = await run(args, {
    env,
    out: (text) => {
      out += text;
      watcher.out?.(out);
    },
    err: (text) => {
      err += text;
      watcher.err?.(err);
    },
    readInput: async () => input,
    nowMs: () => Date.parse('2026-11-24T12:00:00Z'),
    interrupted: () => watcher.interrupted ?? new AbortController().signal,
  });
  return { code, out, err };
}
