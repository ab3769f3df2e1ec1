/**
 * Runs tenetctl inside the test's process, with streams that can be read afterwards. No test of its own.
 */
import { run } from '../../../controller/cli/program.ts';

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** @param env nothing of the real environment gets in @param input standard input */
export async function tenetctl(
  args: readonly string[],
  env: Record<string, string> = {},
  input = '',
): Promise<Outcome> {
  let out = '';
  let err = '';
  const code = await run(args, {
    env,
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    readInput: async () => input,
    nowMs: () => Date.parse('2026-11-24T12:00:00Z'),
  });
  return { code, out, err };
}
