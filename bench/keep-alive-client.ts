/**
 * An HTTP client that costs next to nothing, so that it is not what is measured: one connection that is kept, one request at a time,
 * answers with a Content-Length. Not for anything else.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly body: string;
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

const END_OF_HEAD = Buffer.from('\r\n\r\n');

export class KeepAliveClient {
  readonly #socket: Socket;
  readonly #head: string;
  #heard: Buffer = Buffer.alloc(0);
  #waiting: Waiting | undefined;

  /** @param to the server: `http://127.0.0.1:7480`, or the path of its unix socket */
  static async connect(to: string, token: string): Promise<KeepAliveClient> {
    const url = to.startsWith('/') ? undefined : new URL(to);
    const where = url === undefined ? { path: to } : { host: url.hostname, port: Number(url.port), noDelay: true };
    const socket = connect(where);
    await once(socket, 'connect');
    return new KeepAliveClient(socket, url?.host ?? 'localhost', token);
  }

  private constructor(socket: Socket, host: string, token: string) {
    this.#socket = socket;
    this.#head = `Host: ${host}\r\nAuthorization: Bearer ${token}\r\n`;
    socket.on('data', (chunk: Buffer) => this.#hear(chunk));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the server closed the connection')));
  }

  /** @param body sent as JSON @throws Error if the connection ends before the answer */
  call(method: string, path: string, body?: unknown): Promise<Answer> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const type =
      body === undefined ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n`;
    return new Promise((resolve, reject) => {
      if (this.#waiting !== undefined) throw new Error('one request at a time');
      this.#waiting = { resolve, reject };
      this.#socket.write(`${method} ${path} HTTP/1.1\r\n${this.#head}${type}\r\n${text}`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #hear(chunk: Buffer): void {
    this.#heard = this.#heard.length === 0 ? chunk : Buffer.concat([this.#heard, chunk]);
    const headEnd = this.#heard.indexOf(END_OF_HEAD);
    if (headEnd < 0) return;
    const head = this.#heard.toString('latin1', 0, headEnd);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    const end = headEnd + END_OF_HEAD.length + length;
    if (this.#heard.length < end) return;
    const body = this.#heard.toString('utf8', end - length, end);
    this.#heard = this.#heard.subarray(end);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ status: Number(head.slice(9, 12)), body });
  }

  #fail(error: Error): void {
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}
