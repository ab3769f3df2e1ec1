/** What is said over a connection that is measured, at both ends: many bytes one way, or one byte there and back again and again. */
import { Connection } from '../system/tcp.ts';

/** The first byte of a connection says which it is. */
const ECHO = 1;
const STREAM = 2;
const CHUNK = 1 << 20;

const chunk = new Uint8Array(CHUNK);
const one = new Uint8Array(1);

/** The answering end: echoes, or takes all there is and then says that it has it. @throws KernelError when the other one has gone */
export function answer(connection: Connection): void {
  const kind = connection.receive(one) === 1 ? one[0] : undefined;
  for (let length = connection.receive(chunk); length > 0; length = connection.receive(chunk))
    if (kind === ECHO) connection.send(chunk.subarray(0, length));
  if (kind === STREAM) connection.send(one);
}

export interface Peer {
  readonly address: string;
  readonly port: number;
}

/** Sends so many MiB. @returns seconds until all of it was there @throws KernelError */
export function stream({ address, port }: Peer, mebibytes: number): number {
  return talk(Connection.open(address, port), STREAM, (connection) => {
    const started = performance.now();
    for (let sent = 0; sent < mebibytes; sent++) connection.send(chunk);
    connection.finish();
    expectByte(connection);
    return (performance.now() - started) / 1000;
  });
}

/** A byte there and back, so many times. @returns microseconds of each @throws KernelError */
export function roundTrips({ address, port }: Peer, count: number): number[] {
  return talk(Connection.open(address, port), ECHO, (connection) => {
    const times: number[] = [];
    for (let turn = 0; turn < count; turn++) {
      const started = performance.now();
      connection.send(one);
      expectByte(connection);
      times.push((performance.now() - started) * 1000);
    }
    return times;
  });
}

/** Connects, sends a byte and gets it back, and closes. @returns microseconds @throws KernelError */
export function connectAndAsk({ address, port }: Peer): number {
  const started = performance.now();
  talk(Connection.open(address, port), ECHO, (connection) => {
    connection.send(one);
    expectByte(connection);
  });
  return (performance.now() - started) * 1000;
}

function talk<T>(connection: Connection, kind: number, work: (connection: Connection) => T): T {
  try {
    connection.send(Uint8Array.of(kind));
    return work(connection);
  } finally {
    connection.close();
  }
}

function expectByte(connection: Connection): void {
  if (connection.receive(one) !== 1) throw new Error('the other end closed the connection');
}
