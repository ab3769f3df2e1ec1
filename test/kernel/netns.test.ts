/** Working in another namespace: there and back, whatever happens inside. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Rtnetlink } from '../../dataplane/codecs/rtnetlink/rtnetlink.ts';
import { InvalidNetns } from '../../dataplane/errors.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { linkIndex, linkName } from '../../dataplane/system/libc.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { netnsIdentity, withNetns } from '../../dataplane/system/netns.ts';
import { addNamespace, enterOwnNamespace, ip, type OtherNamespace, run } from './namespace.ts';

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

  it('refuses a path that is no network namespace, saying what it is, and waits for none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tenet-netns-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const at = (name: string) => join(folder, name);
    run('mkfifo', [at('fifo')]);
    run('mknod', [at('device'), 'c', '1', '3']);
    symlinkSync(at('fifo'), at('link'));
    symlinkSync(at('loop'), at('loop'));
    writeFileSync(at('file'), '');
    const listener = createServer().listen(at('socket'));
    await once(listener, 'listening');
    onTestFinished(() => void listener.close());
    const paths = {
      [at('fifo')]: 'it is a FIFO',
      [at('link')]: 'it is a FIFO',
      [at('device')]: 'it is a device',
      [folder]: 'it is a directory',
      [at('socket')]: 'it is a socket',
      [at('file')]: 'it is another file',
      '/proc/self/status': 'it is another file',
      '/proc/self/ns/mnt': 'it is a namespace of another kind',
      [at('missing')]: 'there is no such file',
      [at('file/below')]: 'ENOTDIR',
      [at('loop')]: 'ELOOP',
      [`/${'x'.repeat(5000)}`]: 'ENAMETOOLONG',
    };
    // In a process of its own, which can be ended where it waits.
    const script = `
      import { withNetns } from ${JSON.stringify(new URL('../../dataplane/system/netns.ts', import.meta.url).href)};
      for (const path of JSON.parse(process.argv[1])) {
        try { withNetns(path, () => 1); console.log('entered'); } catch (error) { console.log(error.message.slice(path.length)); }
      }`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script, JSON.stringify(Object.keys(paths))];
    const { stdout, stderr, signal } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      timeout: 20_000,
      killSignal: 'SIGKILL',
    });
    const said = Object.values(paths).map((why) => ` is not a network namespace that can be entered: ${why}`);
    expect({ signal, stderr, said: stdout.trimEnd().split('\n') }).toEqual({ signal: null, stderr: '', said });
    expect(() => withNetns('/run/netns/a\0b', () => 1)).toThrow(InvalidNetns);
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
      for (const path of ['/proc/self/status', '/proc/self/ns/mnt', '/no-such'])
        expect(() => withNetns(path, () => 1)).toThrow(InvalidNetns);
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
    expect(() => netnsIdentity('/run/netns/a\0b')).toThrow(InvalidNetns);
    expect(here()?.endsWith(readlinkSync('/proc/thread-self/ns/net').replace(/\D/g, ''))).toBe(true);
  });
});
