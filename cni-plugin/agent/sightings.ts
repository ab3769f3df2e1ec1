/**
 * Tells the store what this node sees of tenants' packets: how many it delivered and refused, and a few of those that it refused. Samples
 * and sums: what is lost while the store is away, or a link goes, is lost. Nobody here waits for it.
 */
import type { Logger } from 'pino';
import type { Denial, DenialEnd, Denials, Endpoint, Traffic } from '../../controller/model/records.ts';
import { keys } from '../../controller/store/keys.ts';
import { formatRecord } from '../../controller/store/records.ts';
import type { Guard, Store, Write } from '../../controller/store/store.ts';
import type { IpAddress } from '../../dataplane/address.ts';
import type { Dataplane, LinkTraffic, Refusal } from '../../dataplane/dataplane.ts';
import { POD_LINK_PREFIX } from '../../dataplane/ownership.ts';
import type { AgentContext } from './context.ts';

export interface SightingsOptions {
  readonly store: Store;
  readonly node: string;
  readonly dataplane: Pick<Dataplane, 'traffic' | 'watchRefusals'>;
  /** an endpoint of this node by its id */
  readonly endpoint: (id: string) => Endpoint | undefined;
  /** whose an address is, as far as the tenant may know: its own and its peers' */
  readonly whoHas: (address: IpAddress, tenant: string) => Endpoint | undefined;
  /** is there such a tenant, as far as this node knows? */
  readonly isTenant: (name: string) => boolean;
  readonly log: Logger;
  /** between two looks at the counts, and between two writes of a tenant's denials */
  readonly everyMs?: { readonly traffic: number; readonly denials: number };
}

const EVERY_MS = { traffic: 5_000, denials: 1_000 } as const;
/** Of one tenant in one write. */
const MOST_DENIALS = 20;
/** Of all tenants: a flood from every pod at once is looked at so often in each interval. */
const MOST_SEEN = 200;
/** @see https://www.iana.org/assignments/protocol-numbers */
const PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [1, 'ICMP'],
  [6, 'TCP'],
  [17, 'UDP'],
  [132, 'SCTP'],
]);

/** What was refused of a tenant lately. */
interface Recent {
  sequence: number;
  denials: readonly Denial[];
  /** since the last write, each kind once */
  readonly untold: Map<string, Denial>;
}

export class Sightings {
  readonly #options: SightingsOptions;
  readonly #started = new Date().toISOString();
  readonly #everyMs: { readonly traffic: number; readonly denials: number };
  readonly #recent = new Map<string, Recent>();
  /** by link: as read last */
  #counted: ReadonlyMap<string, LinkTraffic> = new Map();
  readonly #totals = new Map<string, { allowed: number; denied: number }>();
  #told = '';
  #seen = 0;
  #timers: NodeJS.Timeout[] = [];
  #refusals: { close(): void } | undefined;
  readonly #pending = new Map<string, { readonly guards: readonly Guard[]; readonly write: Write }>();
  #writing: Promise<void> | undefined;
  #soon: NodeJS.Timeout | undefined;

  static of({ store, dataplane, journal, snapshot, desired, log }: AgentContext, node: string): Sightings {
    return new Sightings({
      store,
      node,
      dataplane,
      endpoint: (id) => journal.endpoints.get(id)?.endpoint,
      whoHas: (address, tenant) => desired.whoHas(address, tenant),
      isTenant: (name) => snapshot.tenant(name) !== undefined,
      log,
    });
  }

  constructor(options: SightingsOptions) {
    this.#options = options;
    this.#everyMs = options.everyMs ?? EVERY_MS;
  }

  start(): void {
    const { dataplane, log } = this.#options;
    try {
      this.#refusals = dataplane.watchRefusals((refusal) => this.#see(refusal));
    } catch (error) {
      log.warn({ op: 'denials', err: error }, 'the kernel does not show refused packets: they are counted only');
    }
    this.#timers = [
      setInterval(() => this.#count(), this.#everyMs.traffic),
      setInterval(() => {
        this.#seen = 0;
        this.#tellDenials();
      }, this.#everyMs.denials),
    ];
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#soon);
    this.#refusals?.close();
    await this.#writing;
  }

  #see({ link, direction, source, destination, protocol, destinationPort }: Refusal): void {
    const { endpoint, whoHas } = this.#options;
    const own = endpoint(link.slice(POD_LINK_PREFIX.length));
    if (own === undefined || this.#seen >= MOST_SEEN) return;
    this.#seen++;
    const end = (ip: IpAddress, isOwn: boolean): DenialEnd => {
      const who = isOwn ? own : whoHas(ip, own.tenant);
      return who === undefined ? { ip } : { ip, tenant: who.tenant, namespace: who.namespace, name: who.name };
    };
    const recent = this.#recent.get(own.tenant) ?? { sequence: 0, denials: [], untold: new Map() };
    this.#recent.set(own.tenant, recent);
    const isNews = recent.untold.size === 0;
    const denial: Denial = {
      at: new Date().toISOString(),
      from: end(source, direction === 'egress'),
      to: end(destination, direction === 'ingress'),
      protocol: PROTOCOLS.get(protocol) ?? String(protocol),
      ...(destinationPort === undefined ? {} : { port: destinationPort }),
      direction,
    };
    // Of those alike in one write one stands for all: a flood must not drive out what else was refused.
    const alike = [link, direction, source, destination, protocol, destinationPort].join();
    const known = recent.untold.get(alike);
    if (known === undefined && recent.untold.size >= MOST_DENIALS) return;
    if (known === undefined) recent.sequence++;
    recent.untold.set(alike, known === undefined ? denial : { ...known, count: (known.count ?? 1) + 1 });
    // The first after a while is told at once, with those that come along with it.
    if (isNews && this.#seen === 1) this.#soon ??= setTimeout(() => this.#tellDenials(), 20);
  }

  #tellDenials(): void {
    this.#soon = undefined;
    for (const [tenant, recent] of this.#recent) {
      if (recent.untold.size === 0) {
        if (!this.#options.isTenant(tenant)) this.#recent.delete(tenant);
        continue;
      }
      recent.denials = [...recent.denials, ...recent.untold.values()].slice(-MOST_DENIALS);
      recent.untold.clear();
      const { sequence, denials } = recent;
      const record: Denials = { at: new Date().toISOString(), sequence, started: this.#started, denials };
      this.#put(keys.nodeDenials(tenant, this.#options.node), record, [keys.tenant(tenant)]);
    }
  }

  #count(): void {
    const { dataplane, endpoint, isTenant, node, log } = this.#options;
    let now: ReadonlyMap<string, LinkTraffic>;
    try {
      now = dataplane.traffic();
    } catch (error) {
      log.debug({ op: 'traffic', err: error }, 'cannot read the counts');
      return;
    }
    for (const [link, traffic] of now) {
      const tenant = endpoint(link.slice(POD_LINK_PREFIX.length))?.tenant;
      if (tenant === undefined) continue;
      const before = this.#counted.get(link);
      const total = this.#totals.get(tenant) ?? { allowed: 0, denied: 0 };
      total.allowed += since(before?.delivered, traffic.delivered);
      total.denied += since(before?.refused, traffic.refused);
      this.#totals.set(tenant, total);
    }
    this.#counted = now;
    for (const tenant of this.#totals.keys()) if (!isTenant(tenant)) this.#totals.delete(tenant);
    const tenants = Object.fromEntries(this.#totals);
    const told = JSON.stringify(tenants);
    if (told === this.#told) return;
    this.#told = told;
    const record: Traffic = { at: new Date().toISOString(), tenants };
    this.#put(keys.traffic(node), record, []);
  }

  /** Only while the node is known, and what it is about. One after the other, each key's latest. */
  #put(key: string, record: object, present: readonly string[]): void {
    const guards = [keys.node(this.#options.node), ...present].map((each) => ({ kind: 'present', key: each }) as const);
    this.#pending.set(key, { guards, write: { kind: 'put', key, value: formatRecord(record) } });
    this.#writing ??= this.#work().finally(() => {
      this.#writing = undefined;
    });
  }

  async #work(): Promise<void> {
    const { store, log } = this.#options;
    for (const [key, { guards, write }] of this.#pending) {
      this.#pending.delete(key);
      try {
        await store.commit(guards, [write]);
      } catch (error) {
        log.debug({ op: 'sightings', key, err: error }, 'store away');
      }
    }
  }
}

/** A count that is lower than before has begun again. */
function since(before: number | undefined, now: number): number {
  return before === undefined || now < before ? now : now - before;
}
