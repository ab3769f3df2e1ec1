/** Links that are deleted on another thread while links of the same name come again. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseIp, parseMac, parsePrefix } from '../../dataplane/address.ts';
import { diff } from '../../dataplane/diff.ts';
import { KernelDataplane } from '../../dataplane/kernel-dataplane.ts';
import type { NodeState } from '../../dataplane/state.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { addNamespace, enterOwnNamespace, ip, ipJson, type OtherNamespace } from './namespace.ts';
import { stateOf } from './node-state.ts';

const GATEWAY = parseIp('192.0.2.7');
const NEXT_HOP = parseMac('0a:58:c0:00:02:07');
const POD_LINK = 'tnp0a1b2c3d4e5f';
const TENANT: NodeState = stateOf([
  {
    kind: 'overlayLink',
    name: 'tnt42',
    vni: 42,
    local: parseIp('192.0.2.1'),
    port: 4789,
    underlay: 'eth9',
    mac: parseMac('0a:58:c0:00:02:01'),
    mtu: 1450,
    up: true,
  },
  { kind: 'neighbour', link: 'tnt42', address: GATEWAY, mac: NEXT_HOP },
  { kind: 'fdb', link: 'tnt42', mac: NEXT_HOP, remote: GATEWAY },
  { kind: 'route', type: 'unicast', destination: parsePrefix('10.129.4.0/24'), link: 'tnt42', gateway: GATEWAY },
]);

let dataplane: KernelDataplane;
let container: OtherNamespace;

beforeAll(() => {
  enterOwnNamespace();
  ip('link', 'add', 'eth9', 'type', 'veth', 'peer', 'name', 'eth9-peer');
  ip('link', 'set', 'eth9', 'up');
  container = addNamespace();
  dataplane = KernelDataplane.open();
});
afterAll(() => {
  dataplane?.close();
  container?.remove();
});

function changesTo(desired: NodeState) {
  const isLinks = ([, { kind }]: readonly [string, { readonly kind: string }]) =>
    kind !== 'element' && kind !== 'ruleSet';
  return diff(desired, new Map([...dataplane.observe(new Map())].filter(isLinks)));
}

/** As the agent: again after a failure, until nothing is left to do. @returns passes that changed something */
async function settle(desired: NodeState): Promise<number> {
  let passes = 0;
  await waitFor(
    () => {
      const changes = changesTo(desired);
      if (changes.length === 0) return true;
      passes++;
      dataplane.apply(changes, desired);
      return false;
    },
    { what: 'the kernel as wanted' },
  );
  return passes;
}

const indexOf = (name: string) => ipJson('link').find(({ ifname }) => ifname === name)?.ifindex;

/** Lets what runs on other threads get further by some turns of the event loop. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(() => settle(TENANT));

describe('an overlay link', () => {
  it.each([0, 1, 2, 5, 20, 100, 500])('comes again while its deletion is under way (%i turns later)', async (later) => {
    const before = indexOf('tnt42');
    const gone = dataplane.deleteLink('tnt42');
    await turns(later);
    dataplane.apply(
      [...TENANT.values()].map((item) => ({ op: 'add', item })),
      TENANT,
    );
    await gone;
    // Whichever came first, the deletion was of the old one.
    expect(indexOf('tnt42')).toBeGreaterThan(Number(before));
    expect(await settle(TENANT)).toBeLessThanOrEqual(2);
  });

  it('that one pass removes and the next wants is there in the end', async () => {
    for (let round = 0; round < 10; round++) {
      dataplane.apply(changesTo(new Map()), new Map());
      dataplane.apply(
        [...TENANT.values()].map((item) => ({ op: 'add', item })),
        TENANT,
      );
      await settle(TENANT);
    }
    await settle(new Map());
    expect(indexOf('tnt42')).toBeUndefined();
  });
});

describe('deleteLink', () => {
  it('says whether there was one', async () => {
    expect(await dataplane.deleteLink('tnt77')).toBe(false);
    expect(await dataplane.deleteLink('tnt42')).toBe(true);
    expect(indexOf('tnt42')).toBeUndefined();
  });

  it('may be asked for twice at once', async () => {
    await Promise.all([dataplane.deleteLink('tnt42'), dataplane.deleteLink('tnt42')]);
    expect(indexOf('tnt42')).toBeUndefined();
  });

  it('takes the container’s end along, and leaves a pod made meanwhile under the same name', async () => {
    const spec = {
      link: POD_LINK,
      netns: container.path,
      ifname: 'eth0',
      mac: NEXT_HOP,
      mtu: 1450,
      addresses: [parseIp('10.129.0.5')],
    };
    dataplane.createPod(spec);
    const gone = dataplane.deleteLink(POD_LINK);
    await turns(1);
    dataplane.createPod({ ...spec, mtu: 1400 });
    await gone;
    expect(dataplane.podLinks()).toEqual([POD_LINK]);
    expect(dataplane.viewPod(container.path, 'eth0')).toMatchObject({ mtu: 1400, addresses: ['10.129.0.5'] });
    expect(await dataplane.deleteLink(POD_LINK)).toBe(true);
    expect(dataplane.viewPod(container.path, 'eth0')).toBeUndefined();
  });
});
