/**
 * The binary's side of the agent's socket: one connection, one line there, one line back. Knows bytes and endings; never what the
 * lines mean. Uses Bun's own socket: Node's `net`, under Bun, costs each call 4 ms more.
 */
import { MESSAGE_BYTES_LIMIT } from './agent-protocol.ts';

/** What is used of the run-time that the binary is compiled with. @see bun.sh/docs, "TCP sockets" */
declare const Bun: { connect(options: { unix: string; socket: SocketHandlers }): Promise<unknown> };
interface Socket {
  /** @returns bytes taken, -1 once closed */
  write(bytes: Uint8Array): number;
}
interface SocketHandlers {
  open(socket: Socket): void;
  drain(socket: Socket): void;
  data(socket: Socket, chunk: Uint8Array): void;
  close(): void;
  error(socket: Socket, error: Error): void;
}

/** There was no answer: no agent listens, the connection broke, or time ran out. `message` says which, for a person. */
export class NoAnswer extends Error {
  readonly code = 'no_answer';
}

/** One exchange with the agent; see {@link askAgent}. */
export type Ask = (socketPath: string, line: string, signal: AbortSignal) => Promise<string>;

/**
 * Asks the agent and waits for its line. Until then the connection stays open in both directions: the agent takes its end for
 * the runtime having given up. The end of the process closes it.
 * @param line without its newline
 * @param signal ends the wait; its reason is the message
 * @returns the answer without its newline
 * @throws NoAnswer
 */
export const askAgent: Ask = (socketPath, line, signal) =>
  new Promise((resolve, reject) => {
    const fail = (why: unknown): void => reject(new NoAnswer(`${socketPath}: ${reasonOf(why)}`));
    let unsent: Uint8Array = Buffer.from(`${line}\n`);
    const send = (socket: Socket): void => {
      const taken = socket.write(unsent);
      if (taken > 0) unsent = unsent.subarray(taken);
    };
    const chunks: Uint8Array[] = [];
    let length = 0;
    signal.addEventListener('abort', () => fail(signal.reason));
    Bun.connect({
      unix: socketPath,
      socket: {
        open: send,
        drain: send,
        data: (_socket, chunk) => {
          const newline = chunk.indexOf(0x0a);
          chunks.push(newline < 0 ? chunk : chunk.subarray(0, newline));
          length += chunk.length;
          if (newline >= 0) resolve(Buffer.concat(chunks).toString('utf8'));
          else if (length > MESSAGE_BYTES_LIMIT) fail('the answer is too long');
        },
        close: () => fail('the connection was closed before an answer'),
        error: (_socket, error) => fail(error),
      },
    }).catch(fail);
  });

/** `connect: ENOENT` rather than a sentence: kubelet shows it in the pod's events. */
function reasonOf(why: unknown): string {
  const { code, syscall } = why as { code?: string; syscall?: string };
  return code === undefined ? String(why) : `${syscall ?? 'socket'}: ${code}`;
}
