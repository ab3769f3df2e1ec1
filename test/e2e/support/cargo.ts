/**
 * VXLAN packets to the first node as another node sends them, right in all but what a test lies about: sender, receiver, VNI.
 */
import { macOfAddress } from '../../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../../dataplane/address.ts';
import { newToken } from './ears.ts';
import { capsule, datagram } from './forge.ts';
import type { Stage } from './stage.ts';

/** What a VXLAN packet to node1 carries: sender, receiver, VNI; a good one unless told otherwise. */
export interface Cargo {
  readonly vni?: (stage: Stage) => number;
  readonly source?: (stage: Stage) => string;
  readonly destination?: (stage: Stage) => string;
  /** MAC of the frame inside */
  readonly sourceMac?: (stage: Stage) => string;
}

/** @param outerSource underlay address that it claims to come from */
export function cargoTo(stage: Stage, cargo: Cargo, outerSource: string, token: string): Buffer {
  const { red, cast, node1 } = stage;
  const { vni = () => red.vni, source = () => cast.red2.ip, destination = () => cast.red1.ip } = cargo;
  const packet = datagram({ source: source(stage), destination: destination(stage) }, token);
  const destinationMac = macOfAddress(parseIp(node1.underlay));
  const inside = {
    vni: vni(stage),
    destinationMac,
    packet,
    ...(cargo.sourceMac && { sourceMac: cargo.sourceMac(stage) }),
  };
  return capsule({ source: outerSource, destination: node1.underlay }, inside);
}

/** Expects that a packet arrives: the tests' packets are right in all but what they lie about. */
export async function expectArrival({ ears }: Stage, fire: (token: string) => void, place: string): Promise<void> {
  const token = newToken();
  fire(token);
  await ears.arrives(token, place);
}
