/** Batches: where long lists are cut, and what a refused message is called. */
import { describe, expect, it } from 'vitest';
import { Batch, elementCodec } from '../../../../dataplane/codecs/nftables/batch.ts';
import type { SetElement } from '../../../../dataplane/codecs/nftables/element.ts';
import { messageType } from '../../../../dataplane/codecs/nftables/nfnetlink.ts';
import type { NftSet } from '../../../../dataplane/codecs/nftables/set.ts';
import {
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFT_MSG_NEWSETELEM,
} from '../../../../dataplane/codecs/nftables/uapi.ts';
import { CodecError } from '../../../../dataplane/errors.ts';
import { iterateAttributes } from '../../../../dataplane/netlink/attribute.ts';
import { type NetlinkMessage, NLM_F_ACK, parseMessages } from '../../../../dataplane/netlink/message.ts';

const TABLE = { family: 'inet', table: 'tenet' } as const;
const GUARD: NftSet = { ...TABLE, name: 'guard4', key: ['ifname', 'ether_addr', 'ipv4_addr'] };
const IDENTITY: NftSet = { ...TABLE, name: 'identity4', key: ['ipv4_addr'], data: 'classid' };
const IDENTITY6: NftSet = { ...TABLE, name: 'identity6', key: ['ipv6_addr'], data: 'classid' };
const VERDICTS: NftSet = { ...TABLE, name: 'verdicts', key: ['ipv4_addr'], data: 'verdict' };

function pod(number: number): SetElement {
  return { key: ['tnp0a1b2c3d4e5f', '0a:58:0a:81:00:01', `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`] };
}

function messagesOf(build: (batch: Batch) => void, generation?: number): NetlinkMessage[] {
  const batch = new Batch();
  batch.begin(generation);
  build(batch);
  return [...parseMessages(batch.end())];
}

describe('a batch', () => {
  it('begins with the generation asked for, ends with the only acknowledgement asked for', () => {
    const messages = messagesOf((batch) => batch.addTable(TABLE), 0x01020304);
    expect(messages.map(({ type }) => type)).toEqual([NFNL_MSG_BATCH_BEGIN, messageType(0), NFNL_MSG_BATCH_END]);
    expect(messages.map(({ flags }) => flags & NLM_F_ACK)).toEqual([0, 0, NLM_F_ACK]);
    expect([...(messages[0]?.payload ?? [])]).toEqual([0, 0, 0, 10, 8, 0, 1, 0, 1, 2, 3, 4]);
  });

  it('is empty until something is asked, and again when it begins anew', () => {
    const batch = new Batch();
    batch.begin();
    expect(batch.empty).toBe(true);
    batch.addElements(GUARD, []);
    expect(batch.empty).toBe(true);
    batch.addTable(TABLE);
    expect(batch.empty).toBe(false);
    batch.begin();
    expect(batch.empty).toBe(true);
  });

  it('cuts long lists of elements so that no attribute is over 64 KB, and loses none', () => {
    const elements = Array.from({ length: 5000 }, (_, i) => pod(i));
    const messages = messagesOf((batch) => batch.addElements(GUARD, elements)).filter(
      ({ type }) => type === messageType(NFT_MSG_NEWSETELEM),
    );
    expect(messages.length).toBeGreaterThan(3);
    for (const { payload } of messages) {
      for (const attribute of iterateAttributes(payload, 4)) expect(attribute.payload.length).toBeLessThan(0xffff);
    }
    expect(messages.flatMap(({ payload }) => elementCodec(GUARD).parseMessage(payload))).toEqual(elements);
  });

  it('names the message refused, and the element when the kernel says where', () => {
    const batch = new Batch();
    batch.begin();
    batch.addTable(TABLE);
    batch.addElements(GUARD, [pod(1)]);
    batch.addElements(GUARD, [pod(2), pod(3)]);
    const [, , , message] = [...parseMessages(batch.end())];
    const third = message === undefined ? 0 : 16 + message.payload.length - 1;
    expect(batch.describe(1)).toEqual({ op: 'NFT_MSG_NEWTABLE', object: 'table inet tenet' });
    expect(batch.describe(2).object).toBe(
      'element tnp0a1b2c3d4e5f . 0a:58:0a:81:00:01 . 10.0.0.1 in set inet tenet guard4',
    );
    expect(batch.describe(3).object).toBe('2 elements in set inet tenet guard4');
    expect(batch.describe(3, third).object).toBe(
      'element tnp0a1b2c3d4e5f . 0a:58:0a:81:00:01 . 10.0.0.3 in set inet tenet guard4',
    );
    expect(batch.describe(4).object).toBe('batch');
  });
});

describe('an IPv6 address', () => {
  it.each([
    ['::', '::'],
    ['fd00::', 'fd00::'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
  ])('%s is read back as %s', (written, read) => {
    const [, message] = messagesOf((batch) => batch.addElements(IDENTITY6, [{ key: [written], data: 1 }]));
    const elements = message === undefined ? [] : elementCodec(IDENTITY6).parseMessage(message.payload);
    expect(elements).toEqual([{ key: [read], data: 1 }]);
  });
});

describe('an element that does not fit its set is refused', () => {
  it.each<[string, NftSet, SetElement]>([
    ['too few fields', GUARD, { key: ['eth0'] }],
    ['too many fields', IDENTITY, { key: ['10.0.0.1', 1], data: 1 }],
    ['no data for a map', IDENTITY, { key: ['10.0.0.1'] }],
    ['data for a set', GUARD, { ...pod(1), data: 1 }],
    ['a verdict for a map of numbers', IDENTITY, { key: ['10.0.0.1'], data: { kind: 'drop' } }],
    ['a number for a map of verdicts', VERDICTS, { key: ['10.0.0.1'], data: 1 }],
    ['a timeout where there are none', IDENTITY, { key: ['10.0.0.1'], data: 1, timeoutMs: 1000 }],
    ['an IPv4 address with a fifth part', IDENTITY, { key: ['10.0.0.1.2'], data: 1 }],
    ['an IPv4 address with a part over 255', IDENTITY, { key: ['10.0.256.1'], data: 1 }],
    ['an IPv4 address with a leading zero', IDENTITY, { key: ['10.0.01.1'], data: 1 }],
    ['an IPv4 address without an end', IDENTITY, { key: ['10.0.1.'], data: 1 }],
    ['an IPv6 address with two gaps', IDENTITY6, { key: ['fd00::1::2'], data: 1 }],
    ['an IPv6 address of nine groups', IDENTITY6, { key: ['1:2:3:4:5:6:7:8:9'], data: 1 }],
    ['an IPv6 address of seven groups', IDENTITY6, { key: ['1:2:3:4:5:6:7'], data: 1 }],
    ['an IPv6 address with a group of five digits', IDENTITY6, { key: ['fd00::12345'], data: 1 }],
    ['an IPv4 address for an IPv6 one', IDENTITY6, { key: ['10.0.0.1'], data: 1 }],
    ['a number in place of an address', IDENTITY, { key: [1], data: 1 }],
    ['a fraction', IDENTITY, { key: ['10.0.0.1'], data: 1.5 }],
    ['a number over 32 bits', IDENTITY, { key: ['10.0.0.1'], data: 2 ** 32 }],
    ['a name of 16 bytes', GUARD, { key: ['abcdefghijklmnop', '0a:58:0a:81:00:01', '10.0.0.1'] }],
    ['a name of 16 bytes in UTF-8', GUARD, { key: ['ääääääää', '0a:58:0a:81:00:01', '10.0.0.1'] }],
    ['an empty name', GUARD, { key: ['', '0a:58:0a:81:00:01', '10.0.0.1'] }],
    ['a name with NUL', GUARD, { key: ['a\0b', '0a:58:0a:81:00:01', '10.0.0.1'] }],
    ['five pairs of a MAC', GUARD, { key: ['eth0', '0a:58:0a:81:00', '10.0.0.1'] }],
  ])('%s', (_, set, element) => {
    const batch = new Batch();
    batch.begin();
    expect(() => batch.addElements(set, [element])).toThrow(CodecError);
  });
});
