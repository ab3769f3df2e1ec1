/** Which tenants it concerns when the kernel refuses something: its owner and the owner's peers, or all where it belongs to all. */
import { expect, it } from 'vitest';
import { judgeRefused } from '../../../../cni-plugin/agent/reconcile/refusals.ts';
import { Snapshot } from '../../../../cni-plugin/agent/watch/snapshot.ts';
import { formatRecord } from '../../../../controller/model/kinds/kind.ts';
import { keys } from '../../../../controller/store/keys.ts';
import { parseIp, parseMac, parsePrefix } from '../../../../dataplane/address.ts';
import type { Change } from '../../../../dataplane/diff.ts';
import { ERRNO, KernelError } from '../../../../dataplane/errors.ts';
import { type Item, itemKey } from '../../../../dataplane/state.ts';
import { entries, tenant } from '../builders.ts';

const mac = parseMac('02:00:00:00:00:01');
const address = parseIp('192.168.9.2');
const neighbour = (link: string): Item => ({ kind: 'neighbour', link, address, mac });
const route = (destination: string, link?: string): Item =>
  link === undefined
    ? { kind: 'route', type: 'blackhole', destination: parsePrefix(destination) }
    : { kind: 'route', type: 'unicast', destination: parsePrefix(destination), link };

function snapshotOf(): Snapshot {
  const snapshot = new Snapshot();
  const tenants = [tenant('system', 1), tenant('red', 42), tenant('blue', 43), tenant('green', 44)];
  const blocks = [
    ['red', '10.170.0.64/27', 'node2'],
    ['system', '10.128.0.1/32', 'node3'],
  ] as const;
  for (const entry of entries({ tenants, blocks })) snapshot.put(entry);
  for (const [of, peer] of [
    ['green', 'blue'],
    ['blue', 'green'],
    ['red', 'blue'],
  ] as const)
    snapshot.put({
      key: keys.peering(of, peer),
      value: formatRecord({ tenant: of, peer, createdAt: '' }),
      createRevision: 1,
      modRevision: 1,
    });
  return snapshot;
}

function judge(...items: readonly (Item | string)[]) {
  const changes = items.flatMap((item): Change[] => (typeof item === 'string' ? [] : [{ op: 'add', item }]));
  const all = items.map((item) => (typeof item === 'string' ? item : itemKey(item)));
  const failures = new Map(all.map((key) => [key, new KernelError('add', key, ERRNO.EEXIST)]));
  const { concerned, findings } = judgeRefused(changes, failures, snapshotOf(), (id) =>
    id === 'aaaaaaaaaaaa' ? 'red' : undefined,
  );
  return { concerned: concerned === 'all' ? concerned : [...concerned].sort(), findings };
}

it.each<[string, Item | string, readonly string[] | 'all']>([
  ['an overlay’s', neighbour('tnt42'), ['red']],
  ['an overlay’s of a tenant with a peer', neighbour('tnt43'), ['blue', 'green']],
  ['a pod’s', neighbour('tnpaaaaaaaaaaaa'), ['red']],
  ['a pod’s that is gone', neighbour('tnpbbbbbbbbbbbb'), []],
  ['an overlay’s of a tenant that is gone', neighbour('tnt99'), []],
  ['the underlay’s', neighbour('eth0'), 'all'],
  ['a pool’s', route('10.128.0.0/9'), 'all'],
  ['the system overlay’s', neighbour('tnt1'), 'all'],
  ['a tenant’s block by the system overlay', route('10.170.0.64/27', 'tnt1'), ['red']],
  ['a gateway’s address by the system overlay', route('10.128.0.1/32', 'tnt1'), 'all'],
  ['a link that was made anew, and what stood on it', 'made anew tnt42', ['red']],
])('%s', (_, item, concerned) => {
  expect(judge(item).concerned).toEqual(concerned);
});

it('is no tenant when nothing is refused', () => {
  expect(judge()).toEqual({ concerned: [], findings: [] });
});

it('is said once for all that stands on one link, of the link itself if that is refused', () => {
  const link = { kind: 'podLink', name: 'tnpaaaaaaaaaaaa', mtu: 1450, up: true } as const;
  const { findings } = judge(
    neighbour('tnpaaaaaaaaaaaa'),
    link,
    route('10.170.0.1/32', 'tnpaaaaaaaaaaaa'),
    neighbour('eth0'),
  );
  expect(findings.map(({ about }) => about)).toEqual(['link tnpaaaaaaaaaaaa', 'neighbour 192.168.9.2 dev eth0']);
  expect(findings[0]).toMatchObject({ tenant: 'red', text: expect.stringContaining('2 more on the same link') });
  expect(findings[1]).not.toHaveProperty('tenant');
  expect(judge('made anew tnt42').findings).toEqual([]);
});
