/** Elements in a real kernel's sets: thousands at once, refused by name, destroyed, replaced. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { SetElement } from '../../dataplane/codecs/nftables/element.ts';
import { Nftables } from '../../dataplane/codecs/nftables/nftables.ts';
import type { NftSet } from '../../dataplane/codecs/nftables/set.ts';
import { ERRNO } from '../../dataplane/errors.ts';
import { addSampleTable, GUARD4, IDENTITY4, TABLE } from '../dataplane/codecs/nftables/sample-table.ts';
import { nft, pod, refusal, useNftables } from './nftables-fixture.ts';

const { connected, nftables } = useNftables();

function sorted(elements: readonly SetElement[]): string[] {
  return elements.map((element) => JSON.stringify(element)).sort();
}

describe('elements', () => {
  beforeEach(() => nftables().transaction(addSampleTable));

  it('10,000 in one transaction are read back as written, and go in one', () => {
    const pods = Array.from({ length: 10_000 }, (_, i) => pod(i));
    nftables().transaction((batch) => batch.addElements(GUARD4, pods));
    expect(sorted(nftables().dumpElements(GUARD4))).toEqual(sorted(pods));
    nftables().transaction((batch) => batch.deleteElements(GUARD4, pods));
    expect(nftables().dumpElements(GUARD4)).toEqual([]);
  });

  it('that are there already are refused by name, if they are to be new', () => {
    nftables().transaction((batch) => batch.addElements(GUARD4, [pod(7)]));
    const add = () => nftables().transaction((batch) => batch.addElements(GUARD4, [pod(6), pod(7), pod(8)], 'create'));
    expect(refusal(add)).toMatchObject({
      op: 'NFT_MSG_NEWSETELEM',
      object: 'element tnp0a1b2c3d4e5f . 0a:58:0a:81:00:01 . 10.129.0.7 in set inet tenet guard4',
      errno: ERRNO.EEXIST,
    });
    expect(nftables().dumpElements(GUARD4)).toEqual([pod(7)]);
    nftables().transaction((batch) => batch.addElements(GUARD4, [pod(7)]));
  });

  it('of a map get new data only where they are replaced', () => {
    const renamed = [{ key: ['10.129.0.1'], data: 0x430000 }];
    const add = () => nftables().transaction((batch) => batch.addElements(IDENTITY4, renamed));
    expect(refusal(add)).toMatchObject({
      object: 'element 10.129.0.1 in map inet tenet identity4',
      errno: ERRNO.EEXIST,
    });
    nftables().transaction((batch) => batch.replaceElements(IDENTITY4, renamed));
    expect(nftables().dumpElements(IDENTITY4)).toEqual(renamed);
    expect(nft('list', 'map', 'inet', 'tenet', 'identity4')).toContain('10.129.0.1 : 43:0');
  });

  it('that are not there cannot be deleted', () => {
    const remove = () => nftables().transaction((batch) => batch.deleteElements(GUARD4, [pod(1)]));
    expect(refusal(remove)).toMatchObject({ op: 'NFT_MSG_DELSETELEM', errno: ERRNO.ENOENT });
  });

  it.each([
    ['as the kernel offers it', {}],
    ['where the kernel has no way to do so', { canDestroy: false }],
  ])('are destroyed whether they are there or not, %s', (_, options) => {
    const here = new Nftables(connected(), options);
    here.transaction((batch) => batch.addElements(GUARD4, [pod(1), pod(2), pod(3)]));
    here.transaction((batch) => batch.destroyElements(GUARD4, [pod(0), pod(1), pod(3), pod(4)]));
    expect(here.dumpElements(GUARD4)).toEqual([pod(2)]);
    here.transaction((batch) => batch.destroyElements(GUARD4, [pod(0)]));
    here.transaction((batch) => batch.replaceElements(IDENTITY4, [{ key: ['10.129.0.2'], data: 1 }]));
    expect(here.dumpElements(IDENTITY4)).toContainEqual({ key: ['10.129.0.2'], data: 1 });
  });

  it('over the size of their set are refused', () => {
    const small: NftSet = { ...TABLE, name: 'small', key: ['ipv4_addr'], size: 4 };
    const addresses = Array.from({ length: 5 }, (_, i) => ({ key: [`10.0.0.${i}`] }));
    nftables().transaction((batch) => batch.addSet(small));
    const fill = () => nftables().transaction((batch) => batch.addElements(small, addresses));
    expect(refusal(fill)).toMatchObject({ object: 'element 10.0.0.4 in set inet tenet small', errno: ERRNO.ENFILE });
    expect(nftables().dumpElements(small)).toEqual([]);
  });

  it('of several types are read back by us, and by nft as their values', () => {
    const mixed: NftSet = {
      ...TABLE,
      name: 'mixed',
      key: ['mark', 'ifname', 'inet_proto', 'inet_service'],
      timeoutMs: 0,
    };
    const v6: NftSet = { ...TABLE, name: 'v6', key: ['ipv6_addr', 'ether_addr'], data: 'mark' };
    const first = { key: [0x12345678, 'eth0', 17, 53], timeoutMs: 3_600_000 };
    const second = { key: ['fd00::1', '0a:58:0a:81:00:01'], data: 0x10 };
    nftables().transaction((batch) => {
      batch.addSet(mixed);
      batch.addSet(v6);
      batch.addElements(mixed, [first, { key: [1, 'lo', 6, 80] }]);
      batch.addElements(v6, [second]);
    });
    expect(sorted(nftables().dumpElements(mixed))).toEqual(sorted([first, { key: [1, 'lo', 6, 80] }]));
    expect(nftables().dumpElements(v6)).toEqual([second]);
    expect(nft('list', 'set', 'inet', 'tenet', 'mixed')).toMatch(/0x12345678 \. "eth0" \. udp \. 53 timeout 1h/);
    expect(nft('list', 'map', 'inet', 'tenet', 'v6')).toContain('fd00::1 . 0a:58:0a:81:00:01 : 0x00000010');
  });

  it('go all at once when their set is flushed', () => {
    nftables().transaction((batch) => batch.addElements(GUARD4, [pod(1), pod(2)]));
    nftables().transaction((batch) => batch.flushSet(GUARD4));
    expect(nftables().dumpElements(GUARD4)).toEqual([]);
  });
});
