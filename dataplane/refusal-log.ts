/**
 * Hears of packets that the rules refused: those few that they show. No listener is needed, and one that is slow loses some,
 * which costs the rules nothing.
 */

import { REFUSALS } from './backends/common.ts';
import { parseShown, writeListen } from './codecs/nflog/nflog.ts';
import type { Refusal } from './dataplane.ts';
import { ERRNO, isErrno } from './errors.ts';
import { ByteWriter } from './netlink/bytes.ts';
import { NetlinkConnection } from './netlink/connection.ts';
import { parseMessages } from './netlink/message.ts';
import { linkName } from './system/libc.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from './system/netlink-socket.ts';
import { whenReadable } from './system/readiness.ts';

/** @throws KernelError, EBUSY when another process listens to the group already */
export function listenForRefusals(onRefusal: (refusal: Refusal) => void): { close(): void } {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    const out = new ByteWriter(128);
    writeListen(out, REFUSALS.group);
    const describe = () => ({ op: 'NFULNL_MSG_CONFIG', object: `group ${REFUSALS.group} of nfnetlink_log` });
    for (const error of new NetlinkConnection(socket).requestEach(out.finish(), describe).values()) throw error;
  } catch (error) {
    socket.close();
    throw error;
  }
  const drain = () => {
    try {
      for (let datagram = socket.poll(); datagram !== undefined; datagram = socket.poll()) {
        for (const refusal of parseRefusals(datagram)) onRefusal(refusal);
      }
    } catch (error) {
      // Some were lost: they are samples anyway.
      if (!isErrno(error, ERRNO.ENOBUFS)) throw error;
    }
  };
  const stop = whenReadable([socket.fd], drain);
  return {
    close: () => {
      stop();
      socket.close();
    },
  };
}

function* parseRefusals(datagram: Uint8Array): Generator<Refusal> {
  for (const message of parseMessages(datagram)) {
    const packet = parseShown(message);
    if (packet === undefined) continue;
    const { prefix } = packet;
    const direction = prefix === REFUSALS.ingress || prefix === REFUSALS.ingressFlows ? 'ingress' : 'egress';
    const reason = prefix === REFUSALS.egressFlows || prefix === REFUSALS.ingressFlows ? 'flows' : 'policy';
    const link = linkName(direction === 'egress' ? packet.inLink : packet.outLink);
    if (link === undefined) continue;
    const { source, destination, protocol, destinationPort } = packet;
    yield { link, direction, reason, source, destination, protocol, destinationPort };
  }
}
