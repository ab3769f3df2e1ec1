/** Messages as bytes: struct nlmsghdr, datagrams of several, and what NLMSG_ERROR says. */
import { describe, expect, it } from 'vitest';
import { CodecError } from '../../../dataplane/errors.ts';
import { AttributeWriter } from '../../../dataplane/netlink/attribute.ts';
import { ByteWriter } from '../../../dataplane/netlink/bytes.ts';
import {
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLMSG_DONE,
  NLMSG_ERROR,
  numberMessages,
  parseAck,
  parseMessages,
  splitMessages,
  writeMessage,
} from '../../../dataplane/netlink/message.ts';

const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** Messages of 1, 2, … bytes of payload, so of different lengths. */
function messages(count: number): Uint8Array {
  const out = new ByteWriter();
  for (let i = 1; i <= count; i++) writeMessage(out, 16 + i, NLM_F_ACK, () => out.bytes(new Uint8Array(i).fill(i)));
  return out.finish().slice();
}

describe('a message', () => {
  it('has its length, type and flags in front, and is padded behind', () => {
    const out = new ByteWriter();
    writeMessage(out, 0x1234, NLM_F_ACK | NLM_F_CREATE, (attributes) => {
      out.u8(0xaa);
      out.zeros(3);
      attributes.u8(1, 7);
      out.u8(0xbb);
    });
    expect(hex(out.finish())).toBe(
      ['1d000000', '3412', '0504', '00000000', '00000000', 'aa000000', '0500010007000000', 'bb', '000000'].join(''),
    );
  });

  it('is numbered, wherever in a buffer it stands', () => {
    const whole = new Uint8Array(100);
    const bytes = messages(3);
    whole.set(bytes, 7);
    const view = whole.subarray(7, 7 + bytes.length);
    expect(numberMessages(view, 0xfffffffe)).toBe(3);
    expect([...parseMessages(view)].map(({ sequence }) => sequence)).toEqual([0xfffffffe, 0xffffffff, 0]);
  });

  it('is read with what its header says, and its payload without the padding', () => {
    const read = [...parseMessages(messages(3))];
    expect(read.map(({ type, flags, portId }) => [type, flags, portId])).toEqual([
      [17, 5, 0],
      [18, 5, 0],
      [19, 5, 0],
    ]);
    expect(read.map(({ payload }) => [...payload])).toEqual([[1], [2, 2], [3, 3, 3]]);
  });

  it('may lack the padding at the end of a datagram', () => {
    const bytes = messages(1);
    expect([...parseMessages(bytes.subarray(0, 17))]).toHaveLength(1);
  });

  it.each([
    ['that claims to be longer than the datagram', 21],
    ['that claims to be shorter than its header', 15],
    ['that claims to be of no length', 0],
  ])('%s is refused', (_name, length) => {
    const bytes = messages(1);
    new DataView(bytes.buffer).setUint32(0, length, true);
    expect(() => [...parseMessages(bytes)]).toThrow(CodecError);
  });
});

describe('splitMessages', () => {
  it.each([
    [7, 3, [3, 3, 1]],
    [6, 3, [3, 3]],
    [2, 3, [2]],
    [3, 1, [1, 1, 1]],
    [0, 3, []],
  ])('cuts %i messages into runs of %i', (count, size, runs) => {
    const bytes = messages(count);
    const cut = [...splitMessages(bytes, size)];
    expect(cut.map((run) => [...parseMessages(run)].length)).toEqual(runs);
    expect(hex(Buffer.concat(cut))).toBe(hex(bytes));
  });
});

function errorMessage(
  errno: number,
  flags: number,
  echo: Uint8Array,
  extack?: readonly [text: string, offset: number],
) {
  const out = new ByteWriter().s32(-errno).bytes(echo);
  if (extack !== undefined) new AttributeWriter(out).string(1, extack[0]).u32(2, extack[1]);
  return { type: NLMSG_ERROR, flags, sequence: 1, portId: 0, payload: out.finish().slice() } satisfies NetlinkMessage;
}

describe('parseAck', () => {
  const echo = messages(1);
  const header = echo.subarray(0, 16);

  it('tells an acknowledgement from a refusal', () => {
    expect(parseAck(errorMessage(0, 0, header))).toEqual({ errno: 0 });
    expect(parseAck(errorMessage(17, 0, header))).toEqual({ errno: 17 });
  });

  it('reads what the kernel has to say, after the header of our message alone', () => {
    const message = errorMessage(22, NLM_F_CAPPED | NLM_F_ACK_TLVS, header, ['Invalid prefix', 36]);
    expect(parseAck(message)).toEqual({ errno: 22, extack: 'Invalid prefix', offset: 36 });
  });

  it('reads it after the whole of our message, padded, where the kernel repeats that', () => {
    const message = errorMessage(22, NLM_F_ACK_TLVS, echo, ['Invalid prefix', 36]);
    expect(parseAck(message)).toEqual({ errno: 22, extack: 'Invalid prefix', offset: 36 });
  });

  it('reads how a dump ended', () => {
    const end = (payload: Uint8Array, flags = 0): NetlinkMessage => ({
      ...{ type: NLMSG_DONE, flags, sequence: 1, portId: 0 },
      payload,
    });
    expect(parseAck(end(new Uint8Array()))).toEqual({ errno: 0 });
    expect(parseAck(end(new ByteWriter().s32(0).finish()))).toEqual({ errno: 0 });
    expect(parseAck(end(new ByteWriter().s32(17).finish()))).toEqual({ errno: 0 });
    expect(parseAck(end(new ByteWriter().s32(-4).finish()))).toEqual({ errno: 4 });
    const out = new ByteWriter().s32(-22);
    new AttributeWriter(out).string(1, 'Invalid');
    expect(parseAck(end(out.finish(), NLM_F_ACK_TLVS))).toEqual({ errno: 22, extack: 'Invalid' });
  });

  it('refuses what is cut off', () => {
    expect(() => parseAck({ ...errorMessage(1, 0, header), payload: new Uint8Array(3) })).toThrow(CodecError);
    const lying = errorMessage(1, NLM_F_ACK_TLVS, new ByteWriter().u32(0xfffffff0).zeros(12).finish());
    expect(() => parseAck(lying)).toThrow(CodecError);
  });
});
