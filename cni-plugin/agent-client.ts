/**
 * The binary's side of the agent's socket: one connection, one line there, one line back. Knows bytes and deadlines; never what
 * the lines mean.
 */
import { createConnection } from 'node:net';
import { MESSAGE_BYTES_LIMIT } from './agent-protocol.ts';

/** There was no answer: nobody listens, the connection broke, or time ran out. `message` says which, for a person. */
export class NoAnswer extends Error {
  readonly code = 'no_answer';
}

/**
 * Asks the agent and waits for its line. Until then the connection stays open in both directions: the agent takes its end for
 * the runtime having given up.
 * @param line without its newline
 * @param signal ends the wait; the connection is closed then
 * @returns the answer without its newline
 * @throws NoAnswer
 */
export function askAgent(socketPath: string, line: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path: socketPath });
    const chunks: Buffer[] = [];
    let length = 0;
    const fail = (why: string): void => finish(() => reject(new NoAnswer(`${socketPath}: ${why}`)));
    const onAbort = (): void => fail(String(signal.reason));
    const finish = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      settle();
    };
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    // An agent that refuses a request answers before it has read all of it; its answer is worth more than the failed write.
    socket.on('error', (error: NodeJS.ErrnoException) =>
      fail(`${error.syscall ?? 'connection'}: ${error.code ?? error.message}`),
    );
    socket.on('close', () => fail('the connection was closed before an answer'));
    socket.on('data', (chunk: Buffer) => {
      const newline = chunk.indexOf(0x0a);
      chunks.push(newline < 0 ? chunk : chunk.subarray(0, newline));
      length += chunk.length;
      if (newline >= 0) finish(() => resolve(Buffer.concat(chunks).toString('utf8')));
      else if (length > MESSAGE_BYTES_LIMIT) fail('the answer is too long');
    });
    socket.write(`${line}\n`);
  });
}
