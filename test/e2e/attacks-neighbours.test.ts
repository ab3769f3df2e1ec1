/**
 * Attacks on ARP: a stranger on the nodes' segment says that it has a node's address. What it says changes nothing; and with the node's
 * known MAC taken away it does, and reads what one node sends to another.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Stranger } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { arp, BROADCAST, ETHERTYPE, ethernet } from '../lab/probe/packet.ts';
import type { Listener } from '../lab/probe/prober.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { newToken } from './support/ears.ts';
import { datagram, fromContainer, onUnderlay } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { frozen } from './support/openings.ts';
import { borrowStage } from './support/shared-stage.ts';
import { meets, type Stage } from './support/stage.ts';

const PORT = 7781;

let stage: Stage;
let stranger: Stranger;
let beside: RawLink;
let red1: RawLink;
let listener: Listener;

beforeAll(async () => {
  stage = await borrowStage();
  stranger = await stage.lab.addStranger();
  beside = new RawLink(stranger.netns);
  red1 = new RawLink(stage.cast.red1.netns);
  listener = await stage.lab.prober(stage.node1).udpListen(PORT, 'node1');
});
afterAll(async () => {
  beside?.close();
  red1?.close();
  await stage?.close();
});

const legitimate = async () => {
  await Promise.all([
    meets(stage, stage.cast.red1, 'red2'),
    meets(stage, stage.cast.red2, 'red1'),
    meets(stage, stage.gateway, 'red1'),
    meets(stage, stage.gateway, 'red2'),
  ]);
};
/** What node1 knows of node2. */
const known = () => inside(stage.node1, `ip neighbour show ${stage.node2.underlay} dev eth0`);

/** Node2's address is the stranger's, in all the ways of saying so. */
function lie(): void {
  const { node1, node2 } = stage;
  const send = (operation: 'request' | 'reply', targetIp: string, destination: string) =>
    beside.send(
      ethernet(
        { source: stranger.mac, destination, type: ETHERTYPE.arp },
        arp({ operation, senderMac: stranger.mac, senderIp: node2.underlay, targetIp }),
      ),
    );
  for (const destination of [node1.mac, BROADCAST])
    for (const operation of ['request', 'reply'] as const) {
      send(operation, node1.underlay, destination);
      // "Gratuitous": it tells everybody.
      send(operation, node2.underlay, destination);
    }
}

/** Resolves once node1 has seen a packet that was sent by the same way after all others. */
async function afterThem(): Promise<void> {
  const token = newToken();
  const ends = { source: stranger.address, destination: stage.node1.underlay };
  beside.send(
    onUnderlay({ source: stranger.mac, destination: stage.node1.mac }, datagram(ends, token, { port: PORT })),
  );
  await waitFor(() => listener.payloads.some((payload) => payload.includes(token)), { what: 'a datagram to node1' });
}

/** Sends from red1 to red2. @returns the token it carries */
function send(): string {
  const token = newToken();
  const ends = { source: stage.cast.red1.ip, destination: stage.cast.red2.ip };
  red1.send(fromContainer(stage.cast.red1, datagram(ends, token)));
  return token;
}
const hasStranger = (token: string) =>
  beside.heard().some(({ direction, frame }) => direction === 'in' && frame.includes(token, 0, 'latin1'));

describe('ARP of a stranger in a node’s name', () => {
  const changesNothing = async () => {
    const before = await known();
    expect(before).toContain(`lladdr ${stage.node2.mac} PERMANENT proto 126`);
    lie();
    await afterThem();
    expect(await known()).toBe(before);
    const token = send();
    await stage.ears.arrives(token, 'red2');
    expect(hasStranger(token)).toBe(false);
  };

  test('leads nothing astray', async () => {
    await legitimate();
    await changesNothing();
    await frozen(stage.lab, ['node1'], async () => {
      await inside(stage.node1, `ip neighbour del ${stage.node2.underlay} dev eth0`);
      await legitimate();
      const isLedAstray = async () => {
        lie();
        return (await known()).includes(stranger.mac);
      };
      await waitFor(isLedAstray, { what: 'node1 takes the stranger for node2' });
      await waitFor(() => hasStranger(send()), { what: 'the stranger reads what is for node2' });
    });
    await waitFor(async () => (await known()).includes(`${stage.node2.mac} PERMANENT`), {
      what: 'the agent knows node2’s MAC again',
    });
    await legitimate();
    await changesNothing();
  });
});
