/**
 * nf_tables for a kernel test: a network namespace of the test file's own, emptied before each test, our Nftables and nft itself in
 * it. The machine's own rules are never touched: nothing runs before the namespace is there.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { SetElement } from '../../dataplane/codecs/nftables/element.ts';
import { Nftables } from '../../dataplane/codecs/nftables/nftables.ts';
import { KernelError } from '../../dataplane/errors.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { unshareNetns } from '../../dataplane/system/netns.ts';

let connection: NetlinkConnection | undefined;

/** Registers the hooks of a test file. @returns how to get at the connection and at nf_tables, once a test runs */
export function useNftables(): { connected(): NetlinkConnection; nftables(): Nftables } {
  let nftables: Nftables | undefined;
  beforeAll(() => {
    unshareNetns();
    connection = new NetlinkConnection(new NetlinkSocket(NETLINK_NETFILTER));
    nftables = new Nftables(connection);
  });
  beforeEach(() => {
    nft('flush', 'ruleset');
  });
  afterAll(() => connection?.close());
  return { connected, nftables: () => nftables ?? new Nftables(connected()) };
}

function connected(): NetlinkConnection {
  if (connection === undefined) throw new Error('not in a namespace of its own');
  return connection;
}

/** Runs nft. @returns what it prints */
export function nft(...args: string[]): string {
  connected();
  return execFileSync('nft', args, { encoding: 'utf8' });
}

/** Loads nft's text. */
export function load(text: string): void {
  connected();
  execFileSync('nft', ['-f', '-'], { input: text });
}

/** What the kernel said to work that it must not do. */
export function refusal(work: () => void): KernelError {
  try {
    work();
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
  throw new Error('the kernel refused nothing');
}

/** A pod as the anti-spoofing set of the sample table knows it. @param number below 65536 */
export function pod(number: number): SetElement {
  return { key: ['tnp0a1b2c3d4e5f', '0a:58:0a:81:00:01', `10.129.${number >> 8}.${number & 255}`] };
}
