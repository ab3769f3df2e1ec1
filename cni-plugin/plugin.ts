/**
 * One CNI call from its environment and stdin to its stdout and exit code. Environment, stdin and the way to the agent are
 * parameters, so that a test needs no process; main.ts hands in the real ones. Never writes and never exits.
 */
import { type Ask, NoAnswer } from './agent-client.ts';
import { CNI_ERROR, MESSAGE_BYTES_LIMIT } from './agent-protocol.ts';
import { parseBoundedJson } from './bounded-json.ts';
import { CniError } from './cni-error.ts';
import type { Environment } from './environment.ts';
import {
  agentUnavailable,
  formatError,
  formatResponse,
  formatVersions,
  type Invocation,
  internalError,
  type Outcome,
  parseInvocation,
  versionForErrors,
} from './protocol.ts';

/**
 * A call's time from start to answer. Below every runtime's own limit (kubelet gives a pod's sandbox four minutes), so that the
 * runtime reads an error that says what was waited for instead of killing the plugin.
 */
const DEFAULT_TIMEOUT_MS = 30_000;
/** A timer of more than 2^31 ms would end at once. */
const LONGEST_TIMEOUT_MS = 600_000;

/** The binary's two ways to the world. */
export interface Edges {
  /** stdin to its end, as UTF-8 text; a CniError is told as it is */
  readonly readStdin: () => Promise<string>;
  readonly ask: Ask;
}

/**
 * Runs one call. Never rejects: what goes wrong is told as a CNI error.
 * @param env CNI_* variables, and TENET_AGENT_TIMEOUT_MS to shorten the wait
 */
export async function runPlugin(env: Environment, { readStdin, ask }: Edges): Promise<Outcome> {
  const deadline = new AbortController();
  const timeoutMs = Math.min(Number(env.TENET_AGENT_TIMEOUT_MS) || DEFAULT_TIMEOUT_MS, LONGEST_TIMEOUT_MS);
  const timer = setTimeout(() => deadline.abort(`nothing within ${timeoutMs} ms`), timeoutMs);
  let stdin = '';
  try {
    // Without a command this is a person at a terminal, whose stdin never ends.
    if (env.CNI_COMMAND) stdin = await readConfig(readStdin, deadline.signal);
    const invocation = parseInvocation(env, stdin);
    if (invocation.kind === 'version') return formatVersions(invocation.cniVersion);
    return formatResponse(invocation, await exchange(invocation, deadline.signal, ask));
  } catch (error) {
    return formatError(internalError(error), versionForErrors(stdin));
  } finally {
    clearTimeout(timer);
  }
}

/** @throws CniError 5 if stdin cannot be read or does not end in time, 7 if it is too long */
async function readConfig(readStdin: Edges['readStdin'], signal: AbortSignal): Promise<string> {
  const tooLate = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error(`stdin: ${signal.reason}`)));
  });
  try {
    return await Promise.race([readStdin(), tooLate]);
  } catch (error) {
    if (error instanceof CniError) throw error;
    throw new CniError(CNI_ERROR.io, 'cannot read the network configuration from stdin', String(error));
  }
}

/** @returns the agent's answer as parsed JSON @throws CniError 7, 11, 50 (STATUS) or 999 */
async function exchange(
  { agentSocket, request }: Invocation & { kind: 'agent' },
  signal: AbortSignal,
  ask: Ask,
): Promise<unknown> {
  const line = JSON.stringify(request);
  if (Buffer.byteLength(line) > MESSAGE_BYTES_LIMIT) {
    throw new CniError(CNI_ERROR.invalidConfig, `network configuration is longer than ${MESSAGE_BYTES_LIMIT} bytes`);
  }
  let answer: string;
  try {
    answer = await ask(agentSocket, line, signal);
  } catch (error) {
    throw error instanceof NoAnswer ? agentUnavailable(request.command, error.message) : error;
  }
  try {
    return parseBoundedJson(answer);
  } catch (error) {
    throw new CniError(CNI_ERROR.internal, "tenet-agent's answer is not JSON", String(error));
  }
}
