/** Finding and ending flows, against a scripted kernel: filters that are honoured and not, flows that go by themselves. */
import { describe, expect, it } from 'vitest';
import { type IpAddress, ipToBytes, parseIp } from '../../../../dataplane/address.ts';
import { Conntrack } from '../../../../dataplane/codecs/conntrack/conntrack.ts';
import { ERRNO } from '../../../../dataplane/errors.ts';
import { AttributeWriter, parseAttributes } from '../../../../dataplane/netlink/attribute.ts';
import { ByteWriter } from '../../../../dataplane/netlink/bytes.ts';
import { NetlinkConnection } from '../../../../dataplane/netlink/connection.ts';
import type { NetlinkMessage } from '../../../../dataplane/netlink/message.ts';
import { ack, done, reply, ScriptedTransport } from '../../netlink/scripted-transport.ts';

const GET = 0x101;
const DELETE = 0x102;
const NLM_F_MULTI = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_FILTER = 25;

interface Flow {
  readonly id: number;
  readonly original: readonly [source: IpAddress, destination: IpAddress];
  readonly reply: readonly [source: IpAddress, destination: IpAddress];
}

const pod = parseIp('10.129.0.5');
const other = parseIp('10.129.0.6');
const service = parseIp('10.96.0.1');
const node = parseIp('192.0.2.1');
const outside = parseIp('203.0.113.9');

const flows: readonly Flow[] = [
  { id: 1, original: [pod, other], reply: [other, pod] },
  { id: 2, original: [other, pod], reply: [pod, other] },
  // begun by the pod, masqueraded
  { id: 3, original: [pod, outside], reply: [outside, node] },
  // to a service that the pod stands behind
  { id: 4, original: [other, service], reply: [pod, other] },
  { id: 5, original: [other, outside], reply: [outside, other] },
  // to itself through a service
  { id: 6, original: [pod, service], reply: [pod, pod] },
];

function writeFlow(flow: Flow): Uint8Array {
  const out = new ByteWriter().u8(2).zeros(3);
  const attributes = new AttributeWriter(out);
  for (const [type, [source, destination]] of [
    [CTA_TUPLE_ORIG, flow.original],
    [CTA_TUPLE_REPLY, flow.reply],
  ] as const) {
    attributes.nested(type, (tuple) =>
      tuple.nested(1, (ip) => ip.bytes(1, ipToBytes(source)).bytes(2, ipToBytes(destination))),
    );
  }
  attributes.u32be(CTA_ID, flow.id);
  return out.finish().slice();
}

/** A kernel before 6.11 with these flows: it ends none by a filter. @param refusals errno by id of the flow to be deleted */
function kernelWith(honoursFilter: boolean, refusals: ReadonlyMap<number, number> = new Map()) {
  const deleted: (number | undefined)[] = [];
  const answer = (message: NetlinkMessage) => {
    const asked = parseAttributes(message.payload, 4);
    if (message.type === GET) {
      const isOriginal = asked.has(CTA_TUPLE_ORIG);
      const tuple = asked.get(isOriginal ? CTA_TUPLE_ORIG : CTA_TUPLE_REPLY)?.nested();
      const wanted = tuple?.get(1)?.nested().get(1)?.payload.join('.');
      const found = flows.filter((flow) => !honoursFilter || (isOriginal ? flow.original : flow.reply)[0] === wanted);
      return [...found.map((flow) => reply(message, 0x100, writeFlow(flow), NLM_F_MULTI)), done(message)];
    }
    expect(message.type).toBe(DELETE);
    if (asked.has(CTA_FILTER)) return [ack(message, ERRNO.EINVAL)];
    const id = asked.get(CTA_ID)?.u32be();
    deleted.push(id);
    return [ack(message, refusals.get(id ?? 0) ?? 0)];
  };
  const transport = new ScriptedTransport((messages) => messages.flatMap(answer));
  return { deleted, transport, conntrack: new Conntrack(new NetlinkConnection(transport)) };
}

describe.each([
  ['a kernel that filters', true],
  ['a kernel before 5.8, which sends all', false],
])('with %s', (_name, honoursFilter) => {
  it('every flow that the address began or answers is found, once', async () => {
    const { conntrack } = kernelWith(honoursFilter);
    const found = await conntrack.entriesOf(pod);
    expect(found.map(({ id }) => id?.at(-1)).toSorted()).toEqual([1, 2, 3, 4, 6]);
  });

  it('those are ended, by their identity, and no others', async () => {
    const { conntrack, deleted } = kernelWith(honoursFilter);
    await conntrack.forget([pod]);
    expect(deleted.toSorted()).toEqual([1, 2, 3, 4, 6]);
  });
});

it('a flow that ended by itself meanwhile is no failure', async () => {
  const { conntrack, deleted } = kernelWith(true, new Map([[1, ERRNO.ENOENT]]));
  await conntrack.forget([pod]);
  expect(deleted).toHaveLength(5);
});

it('a refusal names the flow', async () => {
  const { conntrack } = kernelWith(true, new Map([[3, ERRNO.EPERM]]));
  await expect(conntrack.forget([pod])).rejects.toMatchObject({
    errno: ERRNO.EPERM,
    object: 'flow 10.129.0.5 to 203.0.113.9',
  });
  // and does not stop what comes later
  await conntrack.forget([service]);
});

it('one request waits for the other: they share a socket', async () => {
  const { conntrack, transport } = kernelWith(true);
  await Promise.all([conntrack.forget([pod]), conntrack.entriesOf(other), conntrack.forget([outside])]);
  expect(transport.unread).toBe(0);
  const kinds = transport.sent.map(([first]) => (first?.type === GET ? 'get' : 'delete')).join(' ');
  // Asked once whether the kernel ends flows by itself.
  expect(kinds).toBe('delete get get delete get get get get delete');
});

describe('an address with very many flows', () => {
  const many = 60_000;

  it('is one send to a kernel that ends flows by itself', async () => {
    const transport = new ScriptedTransport((messages) => messages.map((message) => ack(message)));
    const conntrack = new Conntrack(new NetlinkConnection(transport));
    await conntrack.forget([pod]);
    const [asked = [], ...more] = transport.sent;
    expect(more).toEqual([]);
    expect(asked.map(({ type }) => type)).toEqual([DELETE, DELETE]);
    const parts = asked.map(({ payload }) => [...parseAttributes(payload, 4).keys()]);
    expect(parts).toEqual([
      [CTA_TUPLE_ORIG, CTA_FILTER],
      [CTA_TUPLE_REPLY, CTA_FILTER],
    ]);
  });

  it('is never more than some hundred messages in a turn of the event loop to one that does not', async () => {
    let turns = 0;
    let isOver = false;
    const count = () => {
      turns++;
      if (!isOver) setImmediate(count);
    };
    const turnOfSend: number[] = [];
    const perDatagram = 100;
    const flow = writeFlow({ id: 1, original: [pod, outside], reply: [outside, node] });
    const transport = new ScriptedTransport((messages) => {
      turnOfSend.push(turns);
      return messages.flatMap((message) => {
        if (message.type === DELETE)
          return [ack(message, parseAttributes(message.payload, 4).has(CTA_FILTER) ? ERRNO.EINVAL : 0)];
        if (!parseAttributes(message.payload, 4).has(CTA_TUPLE_ORIG)) return [done(message)];
        const part = Buffer.concat(Array.from({ length: perDatagram }, () => reply(message, 0x100, flow, NLM_F_MULTI)));
        return [...Array.from({ length: many / perDatagram }, () => new Uint8Array(part)), done(message)];
      });
    });
    const conntrack = new Conntrack(new NetlinkConnection(transport));
    setImmediate(count);
    await conntrack.forget([pod]);
    isOver = true;
    const deletions = transport.sent.slice(3);
    expect(deletions.flat()).toHaveLength(many);
    expect(Math.max(...deletions.map((messages) => messages.length))).toBeLessThanOrEqual(512);
    expect(new Set(turnOfSend.slice(3)).size).toBe(deletions.length);
    // and those that were read: one datagram a turn
    expect((turnOfSend[2] ?? 0) - (turnOfSend[1] ?? 0)).toBeGreaterThanOrEqual(many / perDatagram);
  });
});
