/**
 * What all verdicts of silence stand on: once a sentinel is back, every packet that was sent before it has arrived, and every answer too,
 * on the longest ways there are, however busy the machine is.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Captured, RawLink } from '../lab/probe/raw.ts';
import { newToken } from './support/ears.ts';
import { datagram, fromContainer } from './support/forge.ts';
import { borrowStage } from './support/shared-stage.ts';
import { type Stage, TCP_PORT, UDP_PORT } from './support/stage.ts';

const ROUNDS = 50;
const BURST = 50;

let stage: Stage;
beforeAll(async () => {
  stage = await borrowStage();
});
afterAll(() => stage?.close());

for (const [name, from, to] of [
  ['to another node', 'red1', 'red2'],
  ['on one node', 'red1', 'red1b'],
] as const)
  test(`packets sent before it have arrived: ${name}`, async () => {
    const { cast, lab } = stage;
    const [out, ear] = [new RawLink(cast[from].netns), new RawLink(cast[to].netns)];
    try {
      const arrived: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        const token = newToken();
        const packet = datagram({ source: cast[from].ip, destination: cast[to].ip }, token);
        ear.forget();
        for (let count = 0; count < BURST; count++) out.send(fromContainer(cast[from], packet));
        await lab.sentinel.pass();
        const isOurs = ({ direction, frame, fields }: Captured) =>
          // An error about what the listener answers quotes the token too.
          direction === 'in' && frame.includes(token) && fields.ports !== undefined;
        arrived.push(ear.heard().filter(isOurs).length);
      }
      expect(arrived).toEqual(Array(ROUNDS).fill(BURST));
    } finally {
      out.close();
      ear.close();
    }
  });

test('answers are back: of a kernel, of a listener over UDP and over TCP, at the first try', async () => {
  const { cast, lab } = stage;
  const prober = lab.prober(cast.red1);
  const outcomes = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    const results = await Promise.all([
      prober.ping(cast.red2.ip),
      prober.udpExchange(cast.red2.ip, UDP_PORT),
      prober.tcpConnect(cast.red2.ip, TCP_PORT),
    ]);
    const said = results.map((result) => ('id' in result ? result.id : result.outcome)).join();
    outcomes.set(said, (outcomes.get(said) ?? 0) + 1);
  }
  expect([...outcomes]).toEqual([['answered,red2,red2', ROUNDS]]);
});

test('answers are back of one listener that many call at once', async () => {
  const { cast, lab } = stage;
  const from = [cast.red1, cast.red1b, stage.gateway];
  const calls = Array.from({ length: 60 }, (_, index) => lab.prober(from[index % 3] ?? cast.red1));
  const results = await Promise.all(calls.map((prober) => prober.tcpConnect(cast.red2.ip, TCP_PORT)));
  expect(results.filter(({ id }) => id === 'red2')).toHaveLength(calls.length);
});

test('a packet that is heard late by the clock is not taken for silence', async () => {
  const { cast, lab } = stage;
  const ear = new RawLink(cast.red2.netns);
  const out = new RawLink(cast.red1.netns);
  try {
    const token = newToken();
    out.send(fromContainer(cast.red1, datagram({ source: cast.red1.ip, destination: cast.red2.ip }, token)));
    // As long as this thread is away, no socket is read: the packet is heard late, and is heard.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    await lab.sentinel.pass();
    expect(ear.heard().some(({ frame }) => frame.includes(token))).toBe(true);
  } finally {
    ear.close();
    out.close();
  }
});
