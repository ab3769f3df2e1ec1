/**
 * ICMP echo from another namespace, through a raw socket of our own: what the answer was, an error's type and code included.
 * IPv4. One request each, never repeated.
 */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Patience, whenPatienceEnds } from './deadline.ts';
import { dissectIp } from './dissect.ts';
import { netnsPath } from './netns-path.ts';
import { ICMP, icmpEcho } from './packet.ts';
import type { Sentinel } from './sentinel.ts';
import { openIcmp, receiveNow, SocketError, sendToNow, setOption } from './socket.ts';

/** @see include/uapi/linux/in.h */
const IPPROTO_IP = 0;
const IP_TTL = 2;
const IP_MTU_DISCOVER = 10;
const IP_PMTUDISC_PROBE = 3;
const POLL_MS = 2;

export interface PingOptions extends Patience {
  /** bytes of the whole IP packet, 84 unless given */
  readonly packetSize?: number;
  /** never fragmented, not even to fit the sender's own idea of the path's MTU */
  readonly dontFragment?: boolean;
  readonly ttl?: number;
  /** source address */
  readonly bindAddress?: string;
  /** of the query, 0 to 65535; one after the other unless given */
  readonly identifier?: number;
}

export type PingResult =
  | { readonly outcome: 'answered'; readonly from: string; readonly elapsedMs: number }
  | { readonly outcome: 'timeout'; readonly elapsedMs: number }
  /** an ICMP error about our packet, or the sender's own kernel saying no (then `error` names it) */
  | {
      readonly outcome: 'unreachable';
      readonly from?: string;
      readonly type?: number;
      readonly code?: number;
      readonly error?: string;
      readonly elapsedMs: number;
    };

let lastIdentifier = process.pid & 0xffff;

/** @param netns name of a namespace @param sentinel what tells that no answer will come */
export async function ping(
  netns: string,
  address: string,
  options: PingOptions = {},
  sentinel?: Sentinel,
): Promise<PingResult> {
  const started = performance.now();
  const elapsed = () => ({ elapsedMs: performance.now() - started });
  lastIdentifier = (lastIdentifier + 1) & 0xffff;
  const identifier = options.identifier ?? lastIdentifier;
  let fd: number | undefined;
  try {
    const socket = openIcmp(netnsPath(netns), options.bindAddress);
    fd = socket;
    if (options.ttl !== undefined) setOption(socket, IPPROTO_IP, IP_TTL, options.ttl);
    if (options.dontFragment) setOption(socket, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    const body = Buffer.alloc((options.packetSize ?? 84) - 28, 0x5a);
    sendToNow(socket, icmpEcho(8, identifier, 1, body), { address, port: 0 });
    const answer = await firstAnswer(socket, identifier, options, sentinel);
    return answer === undefined ? { outcome: 'timeout', ...elapsed() } : { ...answer, ...elapsed() };
  } catch (error) {
    if (error instanceof SocketError) return { outcome: 'unreachable', error: error.code, ...elapsed() };
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

type Answer =
  | { outcome: 'answered'; from: string }
  | { outcome: 'unreachable'; from: string; type: number; code: number };

async function firstAnswer(
  fd: number,
  identifier: number,
  patience: Patience,
  sentinel: Sentinel | undefined,
): Promise<Answer | undefined> {
  let isOver = false;
  let fault: Error | undefined;
  const cancel = whenPatienceEnds(
    patience,
    sentinel,
    () => {
      isOver = true;
    },
    (error) => {
      fault = error;
    },
  );
  try {
    for (;;) {
      if (fault !== undefined) throw fault;
      // The end first: what has arrived by then counts, however late we look.
      const isLast = isOver;
      const answer = readPending(fd, identifier);
      if (answer !== undefined || isLast) return answer;
      await sleep(POLL_MS);
    }
  } finally {
    cancel();
  }
}

function readPending(fd: number, identifier: number): Answer | undefined {
  for (let next = receiveNow(fd); next !== undefined; next = receiveNow(fd)) {
    const answer = readAnswer(next.bytes, identifier);
    if (answer) return answer;
  }
  return undefined;
}

/** Ours are told from others' by the identifier, in errors that of the packet quoted. */
function readAnswer(packet: Buffer, identifier: number): Answer | undefined {
  const outer = dissectIp(packet);
  if (outer === undefined || outer.payload.length < 8) return undefined;
  const [type = -1, code = -1] = outer.payload;
  if (type === ICMP.echoReply && outer.payload.readUInt16BE(4) === identifier)
    return { outcome: 'answered', from: outer.source };
  if (type !== ICMP.unreachable && type !== ICMP.timeExceeded) return undefined;
  const quotedHeader = ((outer.payload[8] ?? 0x45) & 0x0f) * 4;
  const quoted = outer.payload.subarray(8 + quotedHeader);
  if (quoted[0] !== ICMP.echoRequest || quoted.length < 6 || quoted.readUInt16BE(4) !== identifier) return undefined;
  return { outcome: 'unreachable', from: outer.source, type, code };
}
