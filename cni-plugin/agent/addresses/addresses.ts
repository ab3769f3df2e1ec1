/** Which addresses of this node are handed out, and which is next. In memory: after a restart the journal says it again. */
import { addressAt, type IpAddress, type IpPrefix, prefixContains, prefixSize } from '../../../dataplane/address.ts';

export class Addresses {
  /** handed out or about to be; a superset of what the journal's endpoints hold */
  readonly #used: Set<IpAddress>;
  /** where to go on looking in each block: an address rests as long as possible before it is given again */
  readonly #cursor = new Map<IpPrefix, bigint>();

  constructor(used: Iterable<IpAddress>) {
    this.#used = new Set(used);
  }

  /** @returns undefined when the block has none left */
  takeFrom(block: IpPrefix): IpAddress | undefined {
    const size = prefixSize(block);
    const start = this.#cursor.get(block) ?? 0n;
    for (let step = 0n; step < size; step++) {
      const index = (start + step) % size;
      const address = addressAt(block, index);
      if (this.#used.has(address)) continue;
      this.#cursor.set(block, (index + 1n) % size);
      this.#used.add(address);
      return address;
    }
    return undefined;
  }

  /** @returns false when it is taken already */
  take(address: IpAddress): boolean {
    if (this.#used.has(address)) return false;
    this.#used.add(address);
    return true;
  }

  release(address: IpAddress): void {
    this.#used.delete(address);
  }

  /** Has any address of this block been handed out? */
  isAnyOf(block: IpPrefix): boolean {
    for (const address of this.#used) if (prefixContains(block, address)) return true;
    return false;
  }
}
