/** Finding and ending flows, against a scripted kernel: filters that are honoured and not, flows that go by themselves. */
import { describe, expect, it } from 'vitest';
import { type IpAddress, ipToBytes, parseIp } from '../../../dataplane/address.ts';
import { Conntrack } from '../../../dataplane/conntrack/conntrack.ts';
import { ERRNO } from '../../../dataplane/errors.ts';
import { AttributeWriter, parseAttributes } from '../../../dataplane/netlink/attribute.ts';
import { ByteWriter } from '../../../dataplane/netlink/bytes.ts';
import { NetlinkConnection } from '../../../dataplane/netlink/connection.ts';
import type { NetlinkMessage } from '../../../dataplane/netlink/message.ts';
import { ack, done, reply, ScriptedTransport } from '../netlink/scripted-transport.ts';

const GET = 0x101;
const DELETE = 0x102;
const NLM_F_MULTI = 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;

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

/** A kernel with these flows. @param refusals errno by id of the flow to be deleted */
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
    expect(await conntrack.forget([pod])).toBe(5);
    expect(deleted.toSorted()).toEqual([1, 2, 3, 4, 6]);
  });
});

it('a flow that ended by itself meanwhile is no failure, and is not counted', async () => {
  const { conntrack } = kernelWith(true, new Map([[1, ERRNO.ENOENT]]));
  expect(await conntrack.forget([pod])).toBe(4);
});

it('a refusal names the flow', async () => {
  const { conntrack } = kernelWith(true, new Map([[3, ERRNO.EPERM]]));
  await expect(conntrack.forget([pod])).rejects.toMatchObject({
    errno: ERRNO.EPERM,
    object: 'flow 10.129.0.5 to 203.0.113.9',
  });
  // and does not stop what comes later
  expect(await conntrack.forget([service])).toBe(0);
});

it('one request waits for the other: they share a socket', async () => {
  const { conntrack, transport } = kernelWith(true);
  await Promise.all([conntrack.forget([pod]), conntrack.entriesOf(other), conntrack.forget([outside])]);
  expect(transport.unread).toBe(0);
  const kinds = transport.sent.map(([first]) => (first?.type === GET ? 'get' : 'delete')).join(' ');
  expect(kinds).toBe('get get delete get get get get delete');
});
