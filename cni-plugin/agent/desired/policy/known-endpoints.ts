/** Endpoints that are known here, of this node and others, by store key and by address. Pure. */
import type { Endpoint } from '../../../../controller/model/records.ts';
import type { IpAddress } from '../../../../dataplane/address.ts';

export class KnownEndpoints {
  /** name of this node */
  readonly #node: string;
  readonly #byKey = new Map<string, Endpoint>();
  readonly #byAddress = new Map<IpAddress, Set<string>>();

  constructor(node: string) {
    this.#node = node;
  }

  /** @param endpoint undefined: it is gone @returns addresses that may be another endpoint's now */
  set(key: string, endpoint: Endpoint | undefined): IpAddress[] {
    const before = this.#byKey.get(key)?.ips ?? [];
    for (const address of before) {
      const holders = this.#byAddress.get(address);
      holders?.delete(key);
      if (holders?.size === 0) this.#byAddress.delete(address);
    }
    if (endpoint === undefined) this.#byKey.delete(key);
    else this.#byKey.set(key, endpoint);
    const now = endpoint?.ips ?? [];
    for (const address of now) this.#byAddress.set(address, (this.#byAddress.get(address) ?? new Set()).add(key));
    return [...before, ...now];
  }

  get(key: string): Endpoint | undefined {
    return this.#byKey.get(key);
  }

  all(): Iterable<Endpoint> {
    return this.#byKey.values();
  }

  addresses(): Iterable<IpAddress> {
    return this.#byAddress.keys();
  }

  /** Of several endpoints with one address (an old record that is still to go) the one that runs here counts, or the newest. */
  holderOf(address: IpAddress): string | undefined {
    const [first, ...others] = this.#byAddress.get(address) ?? [];
    return others.reduce((best, key) => (best === undefined || this.#isBefore(key, best) ? key : best), first);
  }

  #isBefore(key: string, other: string): boolean {
    const [a, b] = [this.#byKey.get(key), this.#byKey.get(other)];
    const isLocal = (endpoint: Endpoint | undefined) => endpoint?.node === this.#node;
    if (isLocal(a) !== isLocal(b)) return isLocal(a);
    const [born, bornOther] = [a?.createdAt ?? '', b?.createdAt ?? ''];
    return born === bornOther ? key < other : born > bornOther;
  }
}
