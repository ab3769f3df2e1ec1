/**
 * A container that sends whatever it likes: red's first one, with a raw socket on its link. Around each test it is checked that friends
 * still meet and that no neighbour table has changed. To be called once at the top of a test file.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { RawLink } from '../../lab/probe/raw.ts';
import { type Attack, expectSilence } from './attack.ts';
import { countFromPods } from './ears.ts';
import { fromContainer } from './forge.ts';
import { allInside } from './node-state.ts';
import { borrowStage } from './shared-stage.ts';
import { hostLink, meets, type Stage } from './stage.ts';

export type Shot = Pick<Attack, 'name' | 'fire'>;

export interface Attacker {
  readonly stage: Stage;
  /** the attacker's own link */
  readonly link: RawLink;
  /** what must work whatever the attacker does; throws if it does not */
  legitimate(): Promise<void>;
  /** any frame */
  shot(name: string, frame: (token: string) => Buffer): Shot;
  /** an IPv4 packet from its true MAC to its node's */
  packetShot(name: string, packet: (token: string) => Buffer): Shot;
  /** sends all, and expects that nothing arrives anywhere, the node itself included */
  expectNowhere(shots: readonly Shot[]): Promise<void>;
}

/** Neighbours and forwarding entries of Tenet's links on every node, as iproute2 prints them. */
export async function neighbourTables({ node1, node2, gateway, cast }: Stage): Promise<string> {
  const looks = [node1, node2, gateway].map(async (node) => {
    const [near = '', forwarded = ''] = await allInside(node, ['ip neigh show nud all', 'bridge fdb show']);
    return [...linesWith(near, / dev tn[pt]/), ...linesWith(forwarded, / dev tnt/)];
  });
  const shown = await Promise.all(looks);
  expect(shown[0]?.join('\n')).toContain(cast.red1.ip);
  return shown.flat().join('\n');
}

const linesWith = (text: string, pattern: RegExp): string[] =>
  text
    .split('\n')
    .filter((line) => pattern.test(line))
    .sort();

/** Its parts may be used inside tests and hooks alone. */
export function setUpAttacker(): Attacker {
  let stage: Stage;
  let link: RawLink;
  let toNode: Awaited<ReturnType<typeof countFromPods>>;
  /** as the test before has left them */
  let neighbours: string | undefined;

  const legitimate = async () => {
    const { cast, gateway } = stage;
    const pairs = [
      meets(stage, cast.red1, 'red1b'),
      meets(stage, cast.red1, 'red2'),
      meets(stage, gateway, 'red1'),
      meets(stage, cast.blue1, 'blue2'),
    ];
    await Promise.all(pairs);
  };
  beforeAll(async () => {
    stage = await borrowStage();
    link = new RawLink(stage.cast.red1.netns);
    toNode = await countFromPods(stage.node1, hostLink(stage.cast.red1));
  });
  afterAll(async () => {
    link?.close();
    await toNode?.close();
    await stage?.close();
  });
  beforeEach(async () => {
    if (neighbours !== undefined) return;
    await legitimate();
    neighbours = await neighbourTables(stage);
  });
  afterEach(async () => {
    const before = neighbours;
    neighbours = undefined;
    await legitimate();
    const after = await neighbourTables(stage);
    expect(after).toBe(before);
    neighbours = after;
  });

  const shot = (name: string, frame: (token: string) => Buffer): Shot => ({
    name,
    fire: (token) => link.send(frame(token)),
  });
  return {
    get stage() {
      return stage;
    },
    get link() {
      return link;
    },
    legitimate,
    shot,
    packetShot: (name, packet) => shot(name, (token) => fromContainer(stage.cast.red1, packet(token))),
    expectNowhere: async (shots) => {
      const before = await toNode.read();
      await expectSilence(stage, shots);
      expect(await toNode.read(), 'packets that reached the node').toBe(before);
    },
  };
}
