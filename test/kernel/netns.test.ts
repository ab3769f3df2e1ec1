/** Working in another namespace: there and back, whatever happens inside. */
import { readdirSync, readlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { Rtnetlink } from '../../dataplane/rtnetlink/rtnetlink.ts';
import { linkIndex, linkName } from '../../dataplane/system/libc.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { netnsIdentity, withNetns } from '../../dataplane/system/netns.ts';
import { addNamespace, enterOwnNamespace, ip, type OtherNamespace } from './namespace.ts';

const here = () => netnsIdentity('/proc/thread-self/ns/net');
const openFiles = () => readdirSync('/proc/self/fd').length;

let other: OtherNamespace;

beforeAll(() => {
  enterOwnNamespace();
  other = addNamespace();
  ip('-n', other.name, 'link', 'add', 'only-there', 'type', 'ifb');
});
afterAll(() => other?.remove());

describe('withNetns', () => {
  it('works in the other namespace and returns what the work returns', () => {
    const own = here();
    expect(withNetns(other.path, () => [here(), linkIndex('only-there') !== undefined])).toEqual([
      netnsIdentity(other.path),
      true,
    ]);
    expect(here()).toBe(own);
    expect(linkIndex('only-there')).toBeUndefined();
  });

  it('comes back when the work throws, and passes the error on', () => {
    const own = here();
    const error = new Error('inside');
    expect(() =>
      withNetns(other.path, () => {
        throw error;
      }),
    ).toThrow(error);
    expect(here()).toBe(own);
  });

  it('refuses asynchronous work, and is back before any of it goes on', async () => {
    const own = here();
    let wentOnIn: string | undefined;
    let finished: (() => void) | undefined;
    const end = new Promise<void>((resolve) => {
      finished = resolve;
    });
    expect(() =>
      withNetns(other.path, async () => {
        await Promise.resolve();
        wentOnIn = here();
        finished?.();
      }),
    ).toThrow(TypeError);
    expect(here()).toBe(own);
    await end;
    expect(wentOnIn).toBe(own);
  });

  it('nests', () => {
    const own = here();
    const third = addNamespace();
    withNetns(other.path, () => {
      withNetns(third.path, () => expect(here()).toBe(netnsIdentity(third.path)));
      expect(here()).toBe(netnsIdentity(other.path));
    });
    expect(here()).toBe(own);
    third.remove();
  });

  it('says ENOENT of a file that is not there, and EINVAL of one that is no namespace', () => {
    expect(() => withNetns('/run/netns/tenet-test-no-such', () => 1)).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
    expect(() => withNetns('/proc/self/status', () => 1)).toThrow(expect.objectContaining({ op: 'setns', errno: 22 }));
  });

  it('leaves no file open, however it ends', () => {
    const before = openFiles();
    for (let i = 0; i < 20; i++) {
      withNetns(other.path, () => i);
      expect(() =>
        withNetns(other.path, () => {
          throw new Error('inside');
        }),
      ).toThrow();
      expect(() => withNetns('/proc/self/status', () => 1)).toThrow();
    }
    expect(openFiles()).toBe(before);
  });
});

describe('a socket', () => {
  it('keeps belonging to the namespace it was opened in', () => {
    const inside = withNetns(other.path, () => new Rtnetlink(new NetlinkConnection(new NetlinkSocket(NETLINK_ROUTE))));
    expect(inside.links().map(({ name }) => name)).toContain('only-there');
    inside.close();
  });
});

describe('names and numbers of links', () => {
  it('are found, and not found', () => {
    expect(linkIndex('lo')).toBe(1);
    expect(linkName(1)).toBe('lo');
    expect(linkIndex('no-such')).toBeUndefined();
    expect(linkName(4_000)).toBeUndefined();
  });
});

describe('netnsIdentity', () => {
  it('tells namespaces apart whatever they are called', () => {
    expect(netnsIdentity('/proc/self/ns/net')).toBe(here());
    expect(netnsIdentity(other.path)).not.toBe(here());
    expect(netnsIdentity('/run/netns/tenet-test-no-such')).toBeUndefined();
    expect(here()?.endsWith(readlinkSync('/proc/thread-self/ns/net').replace(/\D/g, ''))).toBe(true);
  });
});
