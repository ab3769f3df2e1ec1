/** The frame that is measured: a small UDP datagram, 60 bytes on the link. Pure. */
import { ETHERTYPE, ethernet, ipv4, PROTOCOL, udp } from '../../test/lab/probe/packet.ts';

/** Where {@link udpFrame}'s datagrams go to. */
export const DISCARD_PORT = 5000;

export interface FrameEnds {
  readonly source: string;
  readonly destination: string;
  readonly sourceMac: string;
  readonly destinationMac: string;
}

export function udpFrame({ source, destination, sourceMac, destinationMac }: FrameEnds): Buffer {
  const ports = { sourcePort: 4000, destinationPort: DISCARD_PORT };
  const datagram = udp({ source, destination, ...ports }, Buffer.alloc(18));
  const packet = ipv4({ source, destination, protocol: PROTOCOL.udp }, datagram);
  return ethernet({ source: sourceMac, destination: destinationMac, type: ETHERTYPE.ipv4 }, packet);
}
