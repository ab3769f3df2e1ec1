/** Many links deleted at once: together, away from this thread, and no other links with them. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { LinkDeleter } from '../../dataplane/links/link-deleter.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { POD_GROUP } from '../../dataplane/ownership.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { enterOwnNamespace, ip, ipJson } from './namespace.ts';

let rtnetlink: Rtnetlink;
const ports: number[] = [];

beforeAll(() => {
  enterOwnNamespace();
  rtnetlink = new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE)));
});
afterAll(() => rtnetlink?.close());

const names = () => ipJson<{ ifname: string }>('link').map(({ ifname }) => ifname);
const name = (index: number) => `tnp${index.toString(16).padStart(12, '0')}`;

function make(count: number): string[] {
  const made = Array.from({ length: count }, (_, index) => name(index));
  for (const each of made) {
    ip('link', 'add', each, 'group', String(POD_GROUP), 'type', 'veth', 'peer', 'name', `p${each.slice(4)}`);
  }
  return made;
}

it('goes by groups, each on one socket, and leaves the others of the group they were in', async () => {
  const links = make(30);
  const deleter = new LinkDeleter(rtnetlink, (port) => ports.push(port));
  const [stays = '', ...go] = links;
  const before = ports.length;
  expect(await Promise.all(go.map((each) => deleter.delete(each)))).toEqual(go.map(() => true));
  expect(ports.length - before).toBe(1);
  expect(names().filter((each) => each.startsWith('tnp'))).toEqual([stays]);
  expect(await deleter.delete(stays)).toBe(true);
});

it('says that there was no such link', async () => {
  const deleter = new LinkDeleter(rtnetlink, () => undefined);
  const [link = ''] = make(1);
  expect(await deleter.delete('tnpffffffffffff')).toBe(false);
  const both = [deleter.delete(link), deleter.delete(link)];
  await Promise.all(both);
  expect(names()).not.toContain(link);
});

it('goes on with what is asked for while it works', async () => {
  const links = make(6);
  const deleter = new LinkDeleter(rtnetlink, () => undefined);
  const first = deleter.delete(links[0] ?? '');
  await new Promise((resolve) => setImmediate(resolve));
  const rest = links.slice(1).map((each) => deleter.delete(each));
  expect(await Promise.all([first, ...rest])).toEqual(links.map(() => true));
  expect(names().filter((each) => each.startsWith('tnp'))).toEqual([]);
});
