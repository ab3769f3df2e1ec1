/**
 * Services of clouds and carriers that are not link-local: metadata with a machine's secrets. Closed to containers as the platform is, and
 * opened by the cluster's configuration alone. Each packet is shown to leave the node once the rules that stop it are taken out.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitFor } from '../lab/probe/deadline.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { type Attack, expectClosed, expectSilence } from './support/attack.ts';
import { BACKEND } from './support/backend.ts';
import { expectArrival } from './support/cargo.ts';
import { datagram, fromContainer } from './support/forge.ts';
import { inside } from './support/node-state.ts';
import { borrowStage } from './support/shared-stage.ts';
import { meets, type Stage } from './support/stage.ts';

const OUT = 'from node1';

let stage: Stage;
let red1: RawLink;

beforeAll(async () => {
  stage = await borrowStage();
  red1 = new RawLink(stage.cast.red1.netns);
});
afterAll(async () => {
  red1?.close();
  await stage?.close();
});

const to = (destination: string) => (token: string) =>
  red1.send(fromContainer(stage.cast.red1, datagram({ source: stage.cast.red1.ip, destination }, token)));
const legitimate = async () => {
  await meets(stage, stage.cast.red1, 'red2');
  await expectArrival(stage, to(stage.lab.outside.address), OUT);
  // Just beside them.
  for (const address of ['100.63.255.255', '100.128.0.0', '168.63.129.15', '168.63.129.17', '192.0.1.0'])
    await expectArrival(stage, to(address), OUT);
};
const attack = (address: string): Attack => ({
  name: address,
  fire: to(address),
  arrivesAt: OUT,
  cuts: [{ node: 'node1', chain: 'beyond', comment: 'never beyond the cluster' }],
});

for (const address of ['100.100.100.200', '100.64.0.1', '100.127.255.254', '168.63.129.16', '192.0.0.192'])
  test(`${address} is closed`, () => expectClosed(stage, attack(address), legitimate));

test('what the cluster opens is open, and nothing beside it, until it closes it again', async () => {
  const opened = '100.100.100.200';
  const beside = ['100.100.100.201', '100.100.100.199', '168.63.129.16'].map(attack);
  const patch = async (openNetworks: readonly string[], isClosed: boolean) => {
    expect((await stage.lab.rest('PATCH', '/v1/cluster', { openNetworks })).status).toBe(200);
    const whole =
      BACKEND === 'nftables'
        ? 'nft list chain inet tenet beyond | grep -q " 100.64.0.0/10 "'
        : 'ipset list tenet-closed | grep -q "^100.64.0.0/10$"';
    const look = async () => (await inside(stage.node1, `${whole} && echo closed || echo open`)).trim();
    await waitFor(async () => (await look()) === (isClosed ? 'closed' : 'open'), { what: 'node1 has the change' });
  };
  await expectSilence(stage, [attack(opened), ...beside]);
  await patch([`${opened}/32`], false);
  await expectArrival(stage, to(opened), OUT);
  await expectSilence(stage, beside);
  await legitimate();
  await patch([], true);
  await expectSilence(stage, [attack(opened), ...beside]);
  await legitimate();
});
