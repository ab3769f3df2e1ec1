/** Where etcd's client URLs lead. Asks the resolver, once. */
import { lookup } from 'node:dns/promises';
import { type IpAddress, parseIp } from '../../../dataplane/address.ts';

/** @param urls such as `http://192.0.2.1:2379` @returns undefined when one of the names has no address */
export async function findStoreAddresses(urls: readonly string[]): Promise<readonly IpAddress[] | undefined> {
  const hosts = urls.map((url) => new URL(url).hostname.replace(/^\[(.*)\]$/, '$1'));
  try {
    const found = await Promise.all(hosts.map((host) => lookup(host, { all: true })));
    return found.flat().map(({ address }) => parseIp(address));
  } catch {
    // No resolver, or no such name: the caller says what that means.
    return undefined;
  }
}
