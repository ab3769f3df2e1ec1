/**
 * One network namespace that asks and answers, by raw packets: TCP SYN to a listening socket, UDP to an echo, SCTP INIT to a responder
 * (kernels here have no SCTP). Every probe carries a number of its own: what arrives at the far end, what comes back, and any refusal
 * names its probe. Says what it hears and judges nothing.
 */
import { closeSync } from 'node:fs';
import { ICMP, ipv4, PROTOCOL, tcp } from '../lab/probe/packet.ts';
import type { Prober } from '../lab/probe/prober.ts';
import { CHUNK, readSctp, sctpInit } from '../lab/probe/sctp.ts';
import { openBound, openIcmp, openRaw, receiveNow, SocketError, sendToNow } from '../lab/probe/socket.ts';
import { PORTS, type Protocol } from './truth.ts';

/** `arrived` at the far end; `answered`: its answer came back; `refused`: a host said no, which is not silence. */
export interface Heard {
  readonly kind: 'arrived' | 'answered' | 'refused';
  /** u32, of the probe */
  readonly id: number;
  /** of a refusal, for a person */
  readonly why?: string;
}

export interface Call {
  /** u32, not 0, of no other probe */
  readonly id: number;
  readonly address: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** Source ports of probes: below those that kernels take by themselves (32768 and up), so that no other SYN looks like a probe. */
export const SOURCE_PORTS = { first: 10_000, last: 29_999 } as const;

/** @see RFC 9293 section 3.1 */
const SYN = 0x02;
const RST = 0x04;
const ACK = 0x10;

export class Station {
  readonly netns: string;
  readonly #path: string;
  readonly #addresses: readonly string[];
  readonly #tcp: number;
  readonly #sctp: number;
  readonly #icmp: number;
  readonly #echoes: readonly number[];
  /** of the round that runs */
  #udp: number | undefined;
  #sourcePort = 0;

  /** @param addresses that it answers at; it asks from the first @throws SocketError */
  private constructor(netns: string, addresses: readonly string[]) {
    this.netns = netns;
    this.#path = `/run/netns/${netns}`;
    this.#addresses = addresses;
    this.#tcp = openRaw(this.#path, PROTOCOL.tcp);
    this.#sctp = openRaw(this.#path, PROTOCOL.sctp);
    this.#icmp = openIcmp(this.#path);
    this.#echoes = addresses.flatMap((address) => PORTS.map((port) => openBound(this.#path, 'udp', { address, port })));
  }

  /** @param prober of the same namespace: its TCP listeners say `name` */
  static async open(name: string, prober: Prober, addresses: readonly string[]): Promise<Station> {
    const station = new Station(prober.netns, addresses);
    for (const port of PORTS) await prober.tcpListen(port, name);
    return station;
  }

  /** Of the round before, nothing that is tracked stands for this one: its source port is another. */
  begin(sourcePort: number): void {
    if (this.#udp !== undefined) closeSync(this.#udp);
    this.#sourcePort = sourcePort;
    this.#udp = openBound(this.#path, 'udp', { address: this.#own, port: sourcePort });
  }

  /** May be repeated: it is the same packet. @returns errno's name if our own kernel refuses */
  call(call: Call): string | undefined {
    const { id, address, port } = call;
    const fields = { source: this.#own, destination: address, sourcePort: this.#sourcePort, destinationPort: port };
    if (call.protocol === 'UDP') {
      const token = Buffer.alloc(4);
      token.writeUInt32BE(id);
      return quietly(() => sendToNow(this.#udp ?? -1, token, { address, port }));
    }
    if (call.protocol === 'TCP')
      return this.#send(this.#tcp, PROTOCOL.tcp, fields, tcp({ ...fields, sequence: id, flags: ['syn'] }));
    return this.#send(this.#sctp, PROTOCOL.sctp, fields, sctpInit({ ...fields, verificationTag: 0 }, CHUNK.init, id));
  }

  /** Answers what is asked of it and tells what it heard, until there is nothing more. */
  drain(heard: (each: Heard) => void): void {
    receiveAll(this.#tcp, (packet) => tell(heard, readTcp(packet)));
    receiveAll(this.#sctp, (packet) => this.#onSctp(packet, heard));
    receiveAll(this.#icmp, (packet) => tell(heard, readRefusal(packet)));
    for (const echo of this.#echoes)
      receiveAll(echo, (bytes, from) => {
        tell(heard, tokenOf(bytes, 'arrived'));
        const sender = { port: from.readUInt16BE(2), address: from.subarray(4, 8).join('.') };
        quietly(() => sendToNow(echo, bytes, sender));
      });
    if (this.#udp !== undefined) receiveAll(this.#udp, (bytes) => tell(heard, tokenOf(bytes, 'answered')));
  }

  close(): void {
    for (const fd of [this.#tcp, this.#sctp, this.#icmp, ...this.#echoes]) closeSync(fd);
    if (this.#udp !== undefined) closeSync(this.#udp);
    this.#udp = undefined;
  }

  get #own(): string {
    return this.#addresses[0] ?? '';
  }

  #onSctp(packet: Buffer, heard: (each: Heard) => void): void {
    const head = readSctp(payloadOf(packet));
    if (head === undefined) return;
    if (head.type === CHUNK.initAck) heard({ kind: 'answered', id: head.verificationTag });
    if (head.type === CHUNK.abort) heard({ kind: 'refused', id: head.verificationTag, why: 'SCTP ABORT' });
    if (head.type !== CHUNK.init) return;
    heard({ kind: 'arrived', id: head.initiateTag });
    if (!PORTS.some((port) => port === head.destinationPort)) return;
    const fields = {
      source: packet.subarray(16, 20).join('.'),
      destination: packet.subarray(12, 16).join('.'),
      sourcePort: head.destinationPort,
      destinationPort: head.sourcePort,
      verificationTag: head.initiateTag,
    };
    this.#send(this.#sctp, PROTOCOL.sctp, fields, sctpInit(fields, CHUNK.initAck, head.initiateTag));
  }

  #send(
    fd: number,
    protocol: number,
    { source, destination }: { readonly source: string; readonly destination: string },
    segment: Buffer,
  ): string | undefined {
    const packet = ipv4({ source, destination, protocol }, segment);
    return quietly(() => sendToNow(fd, packet, { address: destination, port: 0 }));
  }
}

function receiveAll(fd: number, each: (bytes: Buffer, from: Buffer) => void): void {
  for (;;) {
    try {
      const next = receiveNow(fd);
      if (next === undefined) return;
      each(next.bytes, next.from);
    } catch (error) {
      // An ICMP error that waits to be read; the ICMP socket has it as well.
      if (!(error instanceof SocketError)) throw error;
    }
  }
}

function quietly(send: () => void): string | undefined {
  try {
    send();
    return undefined;
  } catch (error) {
    if (error instanceof SocketError) return error.code;
    throw error;
  }
}

function tell(heard: (each: Heard) => void, what: Heard | undefined): void {
  if (what !== undefined) heard(what);
}

const payloadOf = (packet: Buffer): Buffer => packet.subarray(((packet[0] ?? 0x45) & 0x0f) * 4);

function tokenOf(bytes: Buffer, kind: 'arrived' | 'answered'): Heard | undefined {
  return bytes.length === 4 ? { kind, id: bytes.readUInt32BE() } : undefined;
}

/** A probe's number is the sequence number of its SYN; answers and refusals acknowledge one more. */
function readTcp(packet: Buffer): Heard | undefined {
  const segment = payloadOf(packet);
  if (segment.length < 20) return undefined;
  const flags = segment.readUInt8(13) & (SYN | RST | ACK);
  const acknowledged = (segment.readUInt32BE(8) - 1) >>> 0;
  const askersPort = segment.readUInt16BE(flags === SYN ? 0 : 2);
  if (askersPort < SOURCE_PORTS.first || askersPort > SOURCE_PORTS.last) return undefined;
  if (flags === SYN) return { kind: 'arrived', id: segment.readUInt32BE(4) };
  if (flags === (SYN | ACK)) return { kind: 'answered', id: acknowledged };
  if (flags === (RST | ACK)) return { kind: 'refused', id: acknowledged, why: 'TCP reset' };
  return undefined;
}

/** Linux returns as much of the packet as fits, so the number is there for every protocol. @see RFC 1812 section 4.3.2.3 */
export function readRefusal(packet: Buffer): Heard | undefined {
  const error = payloadOf(packet);
  const [type, code] = error;
  if (type !== ICMP.unreachable && type !== ICMP.timeExceeded) return undefined;
  const about = error.subarray(8);
  const inner = payloadOf(about);
  const at = { [PROTOCOL.tcp]: 4, [PROTOCOL.udp]: 8, [PROTOCOL.sctp]: 16 }[about[9] ?? 0];
  if (at === undefined || inner.length < at + 4) return undefined;
  return { kind: 'refused', id: inner.readUInt32BE(at), why: `ICMP ${type}/${code}` };
}
