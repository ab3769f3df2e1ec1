/** Rules put together from parts: checks made once, registers filled one behind the other, contradictions refused. */
import { describe, expect, it } from 'vitest';
import { parsePrefix } from '../../../../dataplane/address.ts';
import type { Expression } from '../../../../dataplane/codecs/nftables/expression.ts';
import * as field from '../../../../dataplane/codecs/nftables/field.ts';
import {
  compare,
  ctState,
  inSet,
  ipHeaderLength,
  match,
  matchPrefix,
  prefixMask,
} from '../../../../dataplane/codecs/nftables/match.ts';
import { assemble, register } from '../../../../dataplane/codecs/nftables/rule-builder.ts';
import type { NftSet } from '../../../../dataplane/codecs/nftables/set.ts';
import { accept } from '../../../../dataplane/codecs/nftables/statement.ts';
import { NFPROTO_IPV4 } from '../../../../dataplane/codecs/nftables/uapi.ts';
import { encodeComment, findComment } from '../../../../dataplane/codecs/nftables/userdata.ts';
import { CodecError } from '../../../../dataplane/errors.ts';

const SET: NftSet = { family: 'inet', table: 'tenet', name: 's', key: ['ipv4_addr', 'ifname', 'inet_service'] };

function kinds(expressions: readonly Expression[]): string[] {
  return expressions.map(({ kind }) => kind);
}

describe('a rule', () => {
  it('checks the protocol once, however many fields need it', () => {
    const two = assemble(match(field.ipSaddr, '10.0.0.1'), match(field.ipDaddr, '10.0.0.2'), accept);
    expect(kinds(two)).toEqual(['meta', 'cmp', 'payload', 'cmp', 'payload', 'cmp', 'verdict']);
  });

  it('does not check what it has just compared', () => {
    const explicit = assemble(match(field.nfproto, NFPROTO_IPV4), match(field.ipSaddr, '10.0.0.1'));
    expect(explicit).toEqual(assemble(match(field.ipSaddr, '10.0.0.1')));
  });

  it('that could never match is refused', () => {
    expect(() => assemble(match(field.ipSaddr, '10.0.0.1'), match(field.ip6Saddr, 'fd00::1'))).toThrow(CodecError);
    expect(() => assemble(match(field.tcpDport, 80), match(field.udpDport, 80))).toThrow(CodecError);
  });

  it('loads a concatenation into registers one behind the other', () => {
    const loads = assemble(inSet([field.ipSaddr, field.iifname, field.thDport], SET)).slice(2);
    expect(loads.map((expression) => ('dreg' in expression ? expression.dreg : undefined))).toEqual([
      1,
      9,
      13,
      undefined,
    ]);
  });

  it('looks up only what the set holds', () => {
    expect(() => inSet([field.iifname, field.ipSaddr, field.thDport], SET)).toThrow(CodecError);
    expect(() => inSet([field.ipSaddr, field.iifname], SET)).toThrow(CodecError);
  });

  it('compares a prefix by the bytes that count', () => {
    const payloads = ['10.0.0.0/8', '10.1.0.0/16', '10.128.0.0/9', '10.0.0.1/32', '0.0.0.0/0'].map((prefix) =>
      assemble(matchPrefix(field.ipSaddr, parsePrefix(prefix))).slice(2),
    );
    expect(payloads.map(kinds)).toEqual([
      ['payload', 'cmp'],
      ['payload', 'cmp'],
      ['payload', 'bitwise', 'cmp'],
      ['payload', 'cmp'],
      ['payload', 'bitwise', 'cmp'],
    ]);
    expect(payloads.map(([load]) => load?.kind === 'payload' && load.length)).toEqual([1, 2, 4, 4, 4]);
    expect(() => matchPrefix(field.ip6Saddr, parsePrefix('10.0.0.0/8'))).toThrow(CodecError);
  });

  it('compares values of the right type alone', () => {
    expect(() => compare(field.thDport, '<', 65536)).toThrow(CodecError);
    expect(() => match(field.ipSaddr, 'fd00::1')).toThrow(CodecError);
    expect(() => match(field.iifname, 'a-name-that-is-too-long*')).toThrow(CodecError);
  });

  it('masks the bits of states and of the header length', () => {
    expect(kinds(assemble(ctState('new', 'invalid'), ipHeaderLength(5)))).toEqual([
      ...['ct', 'bitwise', 'cmp'],
      ...['meta', 'cmp', 'payload', 'bitwise', 'cmp'],
    ]);
  });
});

describe('registers', () => {
  it('have the numbers that nft and the kernel write', () => {
    expect([0, 1, 3, 4, 6, 8, 12, 15].map(register)).toEqual([1, 9, 11, 2, 14, 3, 4, 23]);
    expect(() => register(16)).toThrow(CodecError);
  });
});

describe('masks', () => {
  it.each([
    [0, '0,0,0,0'],
    [9, '255,128,0,0'],
    [27, '255,255,255,224'],
    [32, '255,255,255,255'],
  ])('of %i bits', (bits, mask) => {
    expect([...prefixMask(bits, 4)].join()).toBe(mask);
  });
});

describe('comments', () => {
  it('are at most 128 bytes long', () => {
    expect(findComment(encodeComment('ä'.repeat(64)))).toBe('ä'.repeat(64));
    expect(() => encodeComment('ä'.repeat(65))).toThrow(CodecError);
    expect(() => encodeComment('a\0b')).toThrow(CodecError);
  });

  it('are found behind other userdata, and not in userdata of others', () => {
    expect(findComment(Uint8Array.of(9, 1, 7, 0, 2, 0x78, 0))).toBe('x');
    expect(findComment(Uint8Array.of(0, 200, 1))).toBeUndefined();
    expect(findComment(new Uint8Array())).toBeUndefined();
  });
});
