/**
 * This controller's copy of who has claimed which VNI and subnet, kept up by a watch, plus what requests in flight here are about to
 * claim. It lets free ones be picked without asking; it decides nothing, for the store's guards do.
 */
import type { IpFamily, IpPrefix } from '../../dataplane/address.ts';
import type { Unavailable } from '../errors.ts';
import { findFreeSubnet, findFreeVni } from '../model/allocation.ts';
import { readRecord } from '../model/kinds/all.ts';
import { subnetClaims, vniClaims } from '../model/kinds/claim.ts';
import { PrefixSet } from '../model/prefix-set.ts';
import { type FollowWatcher, follow } from '../store/follow.ts';
import { keys } from '../store/keys.ts';
import type { Entry, Revision, Store, WatchBatch } from '../store/store.ts';
import type { Noticed } from './noticed.ts';

/** Something picked and kept from others in this process until released. */
export interface Reservation<T> {
  readonly value: T;
  /** The commit is over, whatever came of it. Once only. */
  release(): void;
}

export class ClaimsView {
  readonly #store: Store;
  readonly #noticed: Pick<Noticed, 'note'>;
  readonly #random: () => number;
  /** by store key; the revision of each claim tells old news from new */
  readonly #claims = new Map<string, Revision>();
  /** claimed and reserved */
  readonly #subnets = new PrefixSet();
  readonly #reserved = new Set<string>();
  /** Resolves when everything claimed has been seen once. */
  readonly synced: Promise<void>;
  #resolveSynced: () => void = () => {};
  #vnis = 0;
  #onRelease: (() => void)[] = [];

  /** @param noticed told of claims that cannot be read: what they claim is taken all the same */
  constructor(store: Store, noticed: Pick<Noticed, 'note'>, random: () => number) {
    this.#store = store;
    this.#noticed = noticed;
    this.#random = random;
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  /** The system tenant counts. */
  get tenantCount(): number {
    return this.#vnis;
  }

  /** Runs until `signal` aborts. */
  async follow(
    signal: AbortSignal,
    watcher: FollowWatcher,
    onUnavailable: (error: Unavailable) => void,
  ): Promise<void> {
    const sink = {
      snapshot: (entries: readonly Entry[], revision: Revision) => this.#replace(entries, revision),
      events: (batch: WatchBatch) => this.#apply(batch),
      unavailable: onUnavailable,
    };
    await follow(this.#store, keys.claims, sink, signal, watcher);
  }

  /** Reads all claims anew. @throws Unavailable */
  async refresh(): Promise<void> {
    const { entries, revision } = await this.#store.list(keys.claims);
    this.#replace(entries, revision);
  }

  /** The store is in another history: what it lists next counts alone, whatever revisions were before. */
  void(): void {
    for (const key of this.#claims.keys()) this.#claims.set(key, 0);
  }

  /** Takes note of a claim that was found, or made by ourselves. */
  learn(key: string, revision: Revision): void {
    const isVni = vniClaims.place(key) !== undefined;
    const subnet = subnetClaims.place(key)?.subnet;
    if (!isVni && subnet === undefined) return;
    const known = this.#claims.get(key);
    if (known !== undefined && known >= revision) return;
    this.#claims.set(key, revision);
    if (known !== undefined) return;
    if (isVni) this.#vnis++;
    else if (subnet !== undefined) this.#subnets.add(subnet);
  }

  /** A free VNI, kept until released; undefined when every one is claimed or reserved. */
  reserveVni(): Reservation<number> | undefined {
    const isTaken = (vni: number) => this.#isTaken(keys.vniClaim(vni));
    const vni = findFreeVni(isTaken, this.#random());
    return vni === undefined ? undefined : this.#reserve(keys.vniClaim(vni), vni);
  }

  /** A free subnet, kept until released; undefined when none of the length is left. */
  reserveSubnet(pools: readonly IpPrefix[], family: IpFamily, length: number): Reservation<IpPrefix> | undefined {
    const subnet = findFreeSubnet(this.#subnets, pools, family, length, this.#random());
    if (subnet === undefined) return undefined;
    this.#subnets.add(subnet);
    return this.#reserve(keys.subnetClaim(subnet), subnet);
  }

  /** Resolves when a reservation has been released; undefined when there is none. */
  nextRelease(): Promise<void> | undefined {
    return this.#reserved.size === 0 ? undefined : new Promise((resolve) => this.#onRelease.push(resolve));
  }

  #isTaken(key: string): boolean {
    return this.#claims.has(key) || this.#reserved.has(key);
  }

  #reserve<T>(key: string, value: T): Reservation<T> {
    this.#reserved.add(key);
    return {
      value,
      release: () => {
        if (!this.#reserved.delete(key)) return;
        const subnet = subnetClaims.place(key)?.subnet;
        if (!this.#claims.has(key) && subnet !== undefined) this.#subnets.delete(subnet);
        const waiting = this.#onRelease;
        this.#onRelease = [];
        for (const resolve of waiting) resolve();
      },
    };
  }

  #replace(entries: readonly Entry[], revision: Revision): void {
    const present = new Set(entries.map(({ key }) => key));
    for (const [key, known] of this.#claims) if (known <= revision && !present.has(key)) this.#forget(key);
    for (const entry of entries) this.#hear(entry);
    this.#resolveSynced();
  }

  #hear(entry: Entry): void {
    this.#noticed.note(entry.key, readRecord(entry));
    this.learn(entry.key, entry.modRevision);
  }

  #apply({ events }: WatchBatch): void {
    for (const event of events) {
      if (event.kind === 'put') this.#hear(event.entry);
      else if ((this.#claims.get(event.key) ?? event.modRevision) < event.modRevision) this.#forget(event.key);
    }
  }

  #forget(key: string): void {
    if (!this.#claims.delete(key)) return;
    const subnet = subnetClaims.place(key)?.subnet;
    if (subnet === undefined) this.#vnis--;
    else if (!this.#reserved.has(key)) this.#subnets.delete(subnet);
  }
}
