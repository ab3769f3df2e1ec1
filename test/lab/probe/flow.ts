/**
 * Flows that last: numbered messages from one namespace to another and their echoes, counted at both ends, to show that a change lost none
 * or that a revoked flow fell silent. Judges nothing.
 */
import { waitFor } from './deadline.ts';
import type { Listener, Prober } from './prober.ts';

export interface FlowOptions {
  readonly from: Prober;
  readonly to: Prober;
  /** of the receiving end; a listener of the flow's own is opened there */
  readonly address: string;
  readonly port: number;
  /** between two messages; 10 unless given */
  readonly intervalMs?: number;
}

interface Wire {
  send(message: string): void;
  /** how often the sender's kernel has tried to get something across; undefined: it tries no more */
  attempts(): number | undefined;
  onMessage(heard: (message: string) => void): void;
  close(): void;
}

/** One connection (TCP) or one pair of ports (UDP), used all the time until closed. */
export class Flow {
  readonly #wire: Wire;
  readonly #listener: Listener;
  readonly #timer: NodeJS.Timeout;
  /** numbers of the messages that have not come back */
  readonly #pending = new Set<number>();
  #sent = 0;
  #echoed = 0;

  private constructor(wire: Wire, listener: Listener, intervalMs: number) {
    this.#wire = wire;
    this.#listener = listener;
    wire.onMessage((message) => this.#hear(Number(message)));
    this.#timer = setInterval(() => this.#tick(), intervalMs);
  }

  /** @throws WaitTimeout if nothing ever comes back, SocketError */
  static async start(protocol: 'tcp' | 'udp', options: FlowOptions): Promise<Flow> {
    const { from, to, address, port } = options;
    const listener = await (protocol === 'tcp' ? to.tcpListen(port, 'flow') : to.udpListen(port, 'flow'));
    const wire = await (protocol === 'tcp' ? tcpWire(from, address, port) : udpWire(from, address, port));
    const flow = new Flow(wire, listener, options.intervalMs ?? 10);
    const what = `${protocol} flow from ${from.netns} to ${address}:${port}`;
    try {
      await waitFor(() => flow.echoed > 0, { what, everyMs: 5 });
      return flow;
    } catch (error) {
      flow.close();
      throw error;
    }
  }

  get sent(): number {
    return this.#sent;
  }

  /** Messages that came back. */
  get echoed(): number {
    return this.#echoed;
  }

  /** Bytes that reached the receiving end, whether or not their echo came back. */
  get deliveredBytes(): number {
    return this.#listener.bytes;
  }

  /** Messages that have not come back yet, or never will. */
  get missing(): number {
    return this.#pending.size;
  }

  /**
   * Resolves once the sender's kernel has tried again, after now, to get something across: a message of UDP, a segment of TCP, repeated or
   * new. At once when it has given up.
   */
  async untilTriedAgain(): Promise<void> {
    const before = this.#wire.attempts() ?? 0;
    const hasTried = () => {
      const now = this.#wire.attempts();
      return now === undefined || now > before;
    };
    await waitFor(hasTried, { what: 'the sender tries again', timeoutMs: 60_000 });
  }

  close(): void {
    clearInterval(this.#timer);
    this.#wire.close();
    this.#listener.close();
  }

  #tick(): void {
    const sequence = ++this.#sent;
    this.#pending.add(sequence);
    this.#wire.send(String(sequence));
  }

  #hear(sequence: number): void {
    if (this.#pending.delete(sequence)) this.#echoed++;
  }
}

async function tcpWire(from: Prober, address: string, port: number): Promise<Wire> {
  const socket = from.tcpSocket({ address, port });
  // A flow that is cut off falls silent; how is not its business.
  socket.on('error', () => undefined);
  return {
    send: (message) => void (socket.writable && socket.write(`${message}\n`)),
    attempts: () => from.segmentsSent(socket),
    onMessage: (heard) => {
      let rest = '';
      socket.on('data', (chunk: Buffer) => {
        const lines = `${rest}${chunk.toString('latin1')}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) heard(line);
      });
    },
    close: () => socket.destroy(),
  };
}

async function udpWire(from: Prober, address: string, port: number): Promise<Wire> {
  const { socket, send } = await from.udpSocket({ address, port });
  socket.on('error', () => undefined);
  let attempts = 0;
  return {
    attempts: () => attempts,
    send: (message) => {
      attempts++;
      try {
        send(Buffer.from(message));
      } catch {
        // Our own kernel refuses it, which is one way of being lost.
      }
    },
    onMessage: (heard) =>
      void socket.on('message', (message) => heard(message.toString('latin1').split('\n')[1] ?? '')),
    close: () => socket.close(),
  };
}
