/**
 * Attacks from below, second part: a node in the wrong hands that sends by VXLAN, under its own address, what only another node may send:
 * a gateway's calls, another node's containers' packets. Each packet is shown to arrive once the rule that stops it is taken out.
 */
import { afterAll, beforeAll, describe, test } from 'vitest';
import { macOfAddress } from '../../cni-plugin/agent/desired/node-facts.ts';
import { parseIp } from '../../dataplane/address.ts';
import type { LabHost } from '../lab/lab.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { type Attack, expectClosed } from './support/attack.ts';
import { BACKEND } from './support/backend.ts';
import { type Cargo, cargoTo, expectArrival } from './support/cargo.ts';
import { capsule, datagram, onUnderlay } from './support/forge.ts';
import type { Cut } from './support/openings.ts';
import { borrowStage } from './support/shared-stage.ts';
import { meets, type Stage } from './support/stage.ts';

const PRIORITY_TAG = Buffer.from([0, 0, 0x08, 0x00]);
const ETH_P_8021Q = 0x8100;

let stage: Stage;
/** underlay links of the second node and of the gateway */
let node2: RawLink;
let gateway: RawLink;

beforeAll(async () => {
  stage = await borrowStage();
  node2 = new RawLink(stage.node2.netns);
  gateway = new RawLink(stage.gateway.netns);
});
afterAll(async () => {
  node2?.close();
  gateway?.close();
  await stage?.close();
});

const NOT_ITS_OWN: Cut = { node: 'node1', chain: 'vxlan_inside', comment: 'not an address of the node that sends it' };
const legitimate = async () => {
  await Promise.all([
    meets(stage, stage.cast.red2, 'red1'),
    meets(stage, stage.gateway, 'red1'),
    meets(stage, stage.cast.blue2, 'blue1'),
  ]);
  await expectArrival(stage, fromGateway({ vni: () => 1, source: SYSTEM }), 'red1');
  // As a gateway that has containers of the tenant sends.
  await expectArrival(stage, fromGateway({ source: SYSTEM }), 'red1');
  await expectArrival(stage, fromNode2({}), 'red1');
};

const SYSTEM = ({ system }: Stage) => system;
const by = (link: () => RawLink, host: () => LabHost) => (cargo: Cargo) => (token: string) => {
  const packet = cargoTo(stage, cargo, host().underlay, token);
  link().send(onUnderlay({ source: host().mac, destination: stage.node1.mac }, packet));
};
const fromNode2 = by(
  () => node2,
  () => stage.node2,
);
const fromGateway = by(
  () => gateway,
  () => stage.gateway,
);

/** A frame with the tag of VLAN 0, which the kernel takes for one without. */
function tagged(token: string): void {
  const { cast, red, node1, node2: sender } = stage;
  const inner = datagram({ source: cast.red2.ip, destination: cast.red1.ip }, token);
  const inside = {
    vni: red.vni,
    destinationMac: macOfAddress(parseIp(node1.underlay)),
    packet: Buffer.concat([PRIORITY_TAG, inner]),
    type: ETH_P_8021Q,
  };
  const packet = capsule({ source: sender.underlay, destination: node1.underlay }, inside);
  node2.send(onUnderlay({ source: sender.mac, destination: node1.mac }, packet));
}

const attack = (name: string, fire: Attack['fire'], origin: string): Attack => ({
  name,
  fire,
  origin,
  arrivesAt: 'red1',
  cuts: [NOT_ITS_OWN],
});

describe('a compute node in the wrong hands', () => {
  const attacks = [
    attack('poses as a gateway by a tenant’s overlay', fromNode2({ source: SYSTEM }), 'from node2'),
    attack('poses as a gateway by the system overlay', fromNode2({ vni: () => 1, source: SYSTEM }), 'from node2'),
    attack(
      'poses as a gateway with the MAC of one',
      fromNode2({ source: SYSTEM, sourceMac: (on) => macOfAddress(parseIp(on.gateway.underlay)) }),
      'from node2',
    ),
    attack('hides where its packet comes from behind a VLAN tag', tagged, 'from node2'),
  ];
  for (const each of attacks) test(each.name, () => expectClosed(stage, each, legitimate));
});

// No match of iptables looks an address inside a VXLAN packet up: see docs/internals/iptables.md, "VXLAN".
describe.skipIf(BACKEND === 'iptables')('a node in the wrong hands, of whatever kind', () => {
  const attacks = [
    attack('poses as a container of another node', fromGateway({}), 'from gw1'),
    attack(
      'poses as a container of the node that it sends to',
      fromNode2({ source: ({ cast }) => cast.red1b.ip }),
      'from node2',
    ),
  ];
  for (const each of attacks) test(each.name, () => expectClosed(stage, each, legitimate));
});
