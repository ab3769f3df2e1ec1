/**
 * What this node sees of tenants' packets: how many it delivered and refused, and a few of those that it refused, the latest of each
 * tenant in memory. It goes to the store only while a caller asks for it, and within a budget, for it is containers that cause it.
 * Samples and sums: what is lost while the store is away, or a link goes, is lost. Nothing here waits for it.
 */
import type { Logger } from 'pino';
import {
  type Denial,
  type DenialEnd,
  type Denials,
  denials as denialsKind,
} from '../../../controller/model/kinds/denials.ts';
import type { Endpoint } from '../../../controller/model/kinds/endpoint.ts';
import { type Traffic, traffic as trafficKind } from '../../../controller/model/kinds/traffic.ts';
import { type Subject, subjects } from '../../../controller/model/kinds/wanted.ts';
import type { ProblemBook } from '../../../controller/model/problems.ts';
import { keys } from '../../../controller/store/keys.ts';
import type { Store } from '../../../controller/store/store.ts';
import type { IpAddress } from '../../../dataplane/address.ts';
import type { Dataplane, LinkTraffic, Refusal } from '../../../dataplane/dataplane.ts';
import { POD_LINK_PREFIX } from '../../../dataplane/ownership.ts';
import type { AgentContext } from '../context.ts';
import { Demand } from './demand.ts';
import { Teller } from './teller.ts';

export interface SightingsOptions {
  readonly store: Store;
  readonly node: string;
  readonly dataplane: Pick<Dataplane, 'traffic' | 'watchRefusals'>;
  /** an endpoint of this node by its id */
  readonly endpoint: (id: string) => Endpoint | undefined;
  /** does the tenant have one here? */
  readonly hasEndpoint: (tenant: string) => boolean;
  /** whose an address is, as far as the tenant may know: its own and its peers' */
  readonly whoHas: (address: IpAddress, tenant: string) => Endpoint | undefined;
  /** is there such a tenant, as far as this node knows? */
  readonly isTenant: (name: string) => boolean;
  /** how many the cluster has, which share what may be written */
  readonly nodes: () => number;
  readonly book: ProblemBook;
  readonly log: Logger;
  /** between two looks at the counts, and between two writes of a tenant's denials */
  readonly everyMs?: { readonly traffic: number; readonly denials: number };
}

const EVERY_MS = { traffic: 5_000, denials: 1_000 } as const;
/** Of one tenant, kept and in one write. */
const MOST_DENIALS = 20;
/** Of all tenants: a flood from every pod at once is looked at so often in each interval. */
const MOST_SEEN = 200;
/** What a problem of it is about. */
const COUNTS = 'counts of packets';
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
  /** number of the last one before a caller asked */
  unasked: number;
  /** in this interval, each kind once */
  readonly fresh: Map<string, Denial>;
}

export class Sightings {
  readonly #options: SightingsOptions;
  readonly #started = new Date().toISOString();
  readonly #everyMs: { readonly traffic: number; readonly denials: number };
  readonly #demand: Demand;
  readonly #teller: Teller;
  readonly #recent = new Map<string, Recent>();
  /** by link: as read last */
  #counted: ReadonlyMap<string, LinkTraffic> = new Map();
  readonly #totals = new Map<string, { allowed: number; denied: number }>();
  #told = '';
  #seen = 0;
  #timers: NodeJS.Timeout[] = [];
  #refusals: { close(): void } | undefined;
  #soon: NodeJS.Timeout | undefined;

  static of({ store, dataplane, journal, snapshot, desired, book, log }: AgentContext, node: string): Sightings {
    return new Sightings({
      store,
      node,
      dataplane,
      endpoint: (id) => journal.endpoints.get(id)?.endpoint,
      hasEndpoint: (tenant) => [...journal.endpoints.values()].some(({ endpoint }) => endpoint.tenant === tenant),
      whoHas: (address, tenant) => desired.whoHas(address, tenant),
      isTenant: (name) => snapshot.tenant(name) !== undefined,
      nodes: () => snapshot.nodes.size,
      book,
      log,
    });
  }

  constructor(options: SightingsOptions) {
    const { store, node, nodes, book, log } = options;
    this.#options = options;
    this.#everyMs = options.everyMs ?? EVERY_MS;
    this.#teller = new Teller({ store, node, nodes, book, log });
    this.#demand = new Demand({ store, book, onWanted: (subject) => this.#answer(subject) });
  }

  start(): void {
    const { dataplane, book } = this.#options;
    try {
      this.#refusals = dataplane.watchRefusals((refusal) => this.#see(refusal));
    } catch (error) {
      book.note('not_counted', { about: 'refused packets', text: `they are not shown: ${messageOf(error)}` });
    }
    this.#timers = [
      setInterval(() => this.#count(), this.#everyMs.traffic),
      setInterval(() => {
        this.#seen = 0;
        this.#tellDenials();
      }, this.#everyMs.denials),
    ];
    this.#demand.start();
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#soon);
    this.#refusals?.close();
    this.#demand.close();
    await this.#teller.close();
  }

  #see({ link, direction, reason, source, destination, protocol, destinationPort }: Refusal): void {
    const { endpoint, whoHas } = this.#options;
    const own = endpoint(link.slice(POD_LINK_PREFIX.length));
    if (own === undefined || this.#seen >= MOST_SEEN) return;
    this.#seen++;
    const end = (ip: IpAddress, isOwn: boolean): DenialEnd => {
      const who = isOwn ? own : whoHas(ip, own.tenant);
      return who === undefined ? { ip } : { ip, tenant: who.tenant, namespace: who.namespace, name: who.name };
    };
    const recent = this.#recentOf(own.tenant);
    const isNews = recent.fresh.size === 0;
    const denial: Denial = {
      at: new Date().toISOString(),
      from: end(source, direction === 'egress'),
      to: end(destination, direction === 'ingress'),
      protocol: PROTOCOLS.get(protocol) ?? String(protocol),
      ...(destinationPort === undefined ? {} : { port: destinationPort }),
      direction,
      ...(reason === 'policy' ? {} : { reason }),
    };
    // Of those alike in one interval one stands for all: a flood must not drive out what else was refused.
    const alike = [link, direction, reason, source, destination, protocol, destinationPort].join();
    const known = recent.fresh.get(alike);
    if (known === undefined && recent.fresh.size >= MOST_DENIALS) return;
    if (known === undefined) recent.sequence++;
    recent.fresh.set(alike, known === undefined ? denial : { ...known, count: (known.count ?? 1) + 1 });
    // The first after a while is told at once, with those that come along with it.
    if (isNews && this.#seen === 1) this.#soon ??= setTimeout(() => this.#tellDenials(), 20);
  }

  #recentOf(tenant: string): Recent {
    const recent = this.#recent.get(tenant) ?? { sequence: 0, denials: [], unasked: 0, fresh: new Map() };
    this.#recent.set(tenant, recent);
    return recent;
  }

  /** A caller has begun to ask: all there is is told, also where that is nothing, so that the caller need not wait for more. */
  #answer(subject: Subject): void {
    if (subject === subjects.traffic) {
      this.#told = '';
      this.#count();
      return;
    }
    const tenant = subjects.tenantOf(subject);
    if (tenant === undefined || !(this.#recent.has(tenant) || this.#options.hasEndpoint(tenant))) return;
    const recent = this.#recentOf(tenant);
    settle(recent);
    recent.unasked = recent.sequence;
    this.#tell(tenant, recent);
  }

  #tellDenials(): void {
    this.#soon = undefined;
    for (const [tenant, recent] of this.#recent) {
      const isNews = recent.fresh.size > 0;
      settle(recent);
      if (isNews && this.#demand.isWanted(subjects.denials(tenant))) this.#tell(tenant, recent);
      if (!isNews && !this.#options.isTenant(tenant)) this.#recent.delete(tenant);
    }
  }

  #tell(tenant: string, { sequence, denials, unasked }: Recent): void {
    const record: Denials = { at: new Date().toISOString(), sequence, started: this.#started, unasked, denials };
    this.#teller.tell(keys.nodeDenials(tenant, this.#options.node), denialsKind.format(record), [keys.tenant(tenant)]);
  }

  #count(): void {
    const { dataplane, endpoint, isTenant, node, book } = this.#options;
    let now: ReadonlyMap<string, LinkTraffic>;
    try {
      now = dataplane.traffic();
    } catch (error) {
      book.note('not_counted', { about: COUNTS, text: messageOf(error) });
      return;
    }
    book.solved('not_counted', COUNTS);
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
    if (!this.#demand.isWanted(subjects.traffic)) return;
    const tenants = Object.fromEntries(this.#totals);
    const told = JSON.stringify(tenants);
    if (told === this.#told) return;
    this.#told = told;
    const record: Traffic = { at: new Date().toISOString(), tenants };
    this.#teller.tell(keys.traffic(node), trafficKind.format(record), []);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What is fresh joins the latest. */
function settle(recent: Recent): void {
  if (recent.fresh.size === 0) return;
  recent.denials = [...recent.denials, ...recent.fresh.values()].slice(-MOST_DENIALS);
  recent.fresh.clear();
}

/** A count that is lower than before has begun again. */
function since(before: number | undefined, now: number): number {
  return before === undefined || now < before ? now : now - before;
}
