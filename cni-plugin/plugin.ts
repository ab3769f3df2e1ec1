/**
 * One CNI call from its environment and stdin to its stdout and exit code. Environment, streams and the way to the agent are
 * parameters, so that a test needs no process; main.ts hands in the real ones. Never writes and never exits.
 */

import { askAgent, NoAnswer } from './agent-client.ts';
import { CNI_ERROR, MESSAGE_BYTES_LIMIT } from './agent-protocol.ts';
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

type Stdin = AsyncIterable<Uint8Array | string>;

/**
 * Runs one call. Never rejects: what goes wrong is told as a CNI error.
 * @param env CNI_* variables, and TENET_AGENT_TIMEOUT_MS to shorten the wait
 * @param stdin read to its end, unless CNI_COMMAND is missing (a person at a terminal)
 * @param ask replaced by tests that need no socket
 */
export async function runPlugin(env: Environment, stdin: Stdin, ask: typeof askAgent = askAgent): Promise<Outcome> {
  const timeoutMs = Number(env.TENET_AGENT_TIMEOUT_MS) || DEFAULT_TIMEOUT_MS;
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(`no answer within ${timeoutMs} ms`), timeoutMs);
  let text = '';
  try {
    if (env.CNI_COMMAND) text = await readAll(stdin, deadline.signal);
    const invocation = parseInvocation(env, text);
    if (invocation.kind === 'version') return formatVersions(invocation.cniVersion);
    return formatResponse(invocation, await exchange(invocation, deadline.signal, ask));
  } catch (error) {
    return formatError(internalError(error), versionForErrors(text));
  } finally {
    clearTimeout(timer);
  }
}

/** @throws CniError 5 if stdin cannot be read or does not end in time, 7 if it is too long to hand on */
async function readAll(stdin: Stdin, signal: AbortSignal): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const read = async (): Promise<void> => {
    for await (const chunk of stdin) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      length += bytes.length;
      if (length > MESSAGE_BYTES_LIMIT)
        throw new CniError(CNI_ERROR.invalidConfig, 'network configuration is too long');
      chunks.push(bytes);
    }
  };
  try {
    await Promise.race([read(), whenAborted(signal)]);
  } catch (error) {
    if (error instanceof CniError) throw error;
    throw new CniError(CNI_ERROR.io, 'cannot read the network configuration from stdin', String(error));
  }
  return Buffer.concat(chunks).toString('utf8');
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}

/** @returns the agent's answer as parsed JSON @throws CniError 11, or 50 for STATUS */
async function exchange(
  { agentSocket, request }: Invocation & { kind: 'agent' },
  signal: AbortSignal,
  ask: typeof askAgent,
): Promise<unknown> {
  try {
    const line = await ask(agentSocket, JSON.stringify(request), signal);
    return JSON.parse(line);
  } catch (error) {
    if (error instanceof NoAnswer) throw agentUnavailable(request.command, error.message);
    if (error instanceof SyntaxError)
      throw new CniError(CNI_ERROR.internal, "tenet-agent's answer is not JSON", error.message);
    throw error;
  }
}
