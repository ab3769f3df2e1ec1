/** Fragments that might have the kernel keep what the program at a pod's link takes for complete, or does not see. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { type Ipv4Fields, PROTOCOL } from '../lab/probe/packet.ts';
import { BOUNDS, enterNode, type FragmentStage, held, keepFragmentsFor, raiseFragmentStage } from './fragment-stage.ts';

let rtnetlink: Rtnetlink;
let stage: FragmentStage;

beforeAll(() => {
  rtnetlink = enterNode();
});
afterAll(() => rtnetlink.close());
beforeEach(async () => {
  await waitFor(() => held() === 0, { what: 'the kernel gives up what is not complete' });
  stage = await raiseFragmentStage(rtnetlink);
});
afterEach(() => stage.close());

/** Two fragments each, of which the kernel keeps one that the program might take for complete. */
const whole = (id: number) => {
  const [first, last] = [Buffer.alloc(1_400), Buffer.alloc(1_400)];
  return {
    id,
    first: { id, moreFragments: true },
    last: { id, fragmentOffset: 1_400 },
    bodies: [first, last] as const,
  };
};
type Whole = ReturnType<typeof whole>;
const begin = ({ first, bodies }: Whole) => stage.frame('red', first, bodies[0]);
const end = ({ last, bodies }: Whole, more: Partial<Ipv4Fields> = {}) =>
  stage.frame('red', { ...last, ...more }, bodies[1]);

const broken = (bytes: Buffer, at: number) => {
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  return bytes;
};
const tagged = (bytes: Buffer, ...tags: readonly string[]) =>
  Buffer.concat([bytes.subarray(0, 12), ...tags.map((tag) => Buffer.from(tag, 'hex')), bytes.subarray(12)]);
const tricks: Readonly<Record<string, (each: Whole) => readonly Buffer[]>> = {
  'no last fragment': (each) => [begin(each)],
  'no first fragment': (each) => [end(each)],
  'neither end': (each) => [
    stage.frame('red', { id: each.id, fragmentOffset: 800, moreFragments: true }, Buffer.alloc(1_400)),
  ],
  'a unit short': (each) => [begin(each), end(each, { fragmentOffset: 1_408 })],
  'the last one first, twice': (each) => [end(each), begin(each), end(each)],
  'the first one twice': (each) => [begin(each), begin(each)],
  'a last fragment with a wrong checksum': (each) => [begin(each), broken(end(each), 24)],
  'a last fragment by another MAC': (each) => [begin(each), broken(end(each), 11)],
  'a last fragment to another MAC': (each) => [begin(each), broken(end(each), 5)],
  'a last fragment of another protocol': (each) => [begin(each), end(each, { protocol: PROTOCOL.tcp })],
  'a last fragment to another address': (each) => [begin(each), end(each, { destination: '10.200.0.2' })],
  'a last fragment from another address': (each) => [begin(each), end(each, { source: '10.128.0.9' })],
  'a last fragment without a hop': (each) => [begin(each), end(each, { ttl: 1 })],
  'a last fragment with options': (each) => [begin(each), end(each, { options: Buffer.from('01010101', 'hex') })],
  'a last fragment that is cut off': (each) => [begin(each), end(each).subarray(0, 100)],
  'a last fragment of another VLAN': (each) => [begin(each), tagged(end(each), '81000005')],
  'first fragments behind two tags': (each) => [tagged(begin(each), '81000000', '81000000')],
  'a fragment that is no whole unit': (each) => [
    stage.frame('red', { id: each.id, moreFragments: true }, Buffer.alloc(1_401)),
    end(each, { fragmentOffset: 1_400 }),
  ],
};
it.each(Object.entries(tricks))('hold a pod that sends %s', async (_, trick) => {
  for (let id = 1; id <= 3_000; id++) for (const each of trick(whole(id))) stage.pod('red').raw.send(each);
  expect(held()).toBeLessThanOrEqual(BOUNDS.bytes / 3);
  await stage.delivers('blue');
});

it('a datagram is not complete whose beginning the kernel has forgotten', async () => {
  // Longer than this takes; nothing comes after it.
  keepFragmentsFor(60);
  for (let id = 1; id <= 800; id++) {
    stage.pod('red').raw.send(begin(whole(id)));
    for (let other = 0; other < 33; other++)
      for (const each of [begin, end]) stage.pod('red').raw.send(each(whole(10_000 + other)));
    stage.pod('red').raw.send(end(whole(id)));
  }
  expect(held()).toBeLessThanOrEqual(BOUNDS.bytes / 3);
});
