/**
 * Policies as kernel items: who addresses are (identities), what each pod of this node may call and be called by (pairs of pod and
 * identity with a port set), the same by network, and what port sets hold. Kept up to date part by part, like all of the desired state:
 *
 *   endpoints, namespaces, terms ─► identities ─► `address …`            address → identity
 *   policies ─► subjects ─┬─ × identities ──────► `pair …`, `friends …`  (identity, pod) → port set
 *                         └─ ipBlocks ──────────► `network …`            (pod, network) → port set
 *   port sets of these ─────────────────────────► `ports …`              port set → ports
 *
 * What is no longer used stays until it is swept: a packet under way may have looked it up. Pure.
 */
import { type Endpoint, endpoints } from '../../../../controller/model/kinds/endpoint.ts';
import { policies } from '../../../../controller/model/kinds/policy.ts';
import type { Tenant } from '../../../../controller/model/kinds/tenant.ts';
import { keys } from '../../../../controller/store/keys.ts';
import type { IpAddress } from '../../../../dataplane/address.ts';
import { podLinkName } from '../../../../dataplane/ownership.ts';
import { type Item, PORT_SET } from '../../../../dataplane/state.ts';
import type { Snapshot } from '../../watch/snapshot.ts';
import { Identities, type Identity } from './identities.ts';
import { KnownEndpoints } from './known-endpoints.ts';
import { LocalPolicies } from './local-policies.ts';
import { PortSets } from './port-sets.ts';
import { DIRECTIONS, NO_ANSWERS, pairs, Subject } from './subject.ts';

export interface PolicyStateOptions {
  readonly snapshot: Snapshot;
  /** name of this node */
  readonly node: string;
  /** endpoints that run here, by id */
  readonly local: ReadonlyMap<string, Endpoint>;
  readonly idsOf: (tenant: string) => ReadonlySet<string>;
  /** a part has to be made anew */
  readonly stale: (part: string) => void;
}

export class PolicyState {
  readonly #options: PolicyStateOptions;
  readonly #identities: Identities;
  readonly #portSets: PortSets;
  readonly #policies: LocalPolicies;
  /** of endpoints here, made when asked for */
  readonly #subjects = new Map<string, Subject>();
  readonly #known: KnownEndpoints;
  /** endpoints here whose networks have named ports */
  readonly #namers = new Set<string>();

  constructor(options: PolicyStateOptions) {
    this.#options = options;
    this.#known = new KnownEndpoints(options.node);
    const { snapshot, stale } = options;
    this.#portSets = new PortSets((number) => stale(`ports ${number}`));
    this.#identities = new Identities({
      namespaceLabels: (tenant, namespace) => snapshot.namespaceLabels(tenant, namespace),
      sees: (tenant, other) => this.#sees(tenant, other),
      onMoved: (key, was, is) => this.#onMoved(key, was, is),
      onUsed: ({ number, tenant }) => {
        for (const id of this.#seenBy(tenant)) stale(`pair ${number} ${id}`);
      },
    });
    this.#policies = new LocalPolicies({
      policiesOf: (tenant) => snapshot.policiesOf(tenant),
      onTerms: (added, removed) => {
        for (const term of added) this.#identities.addTerm(term);
        for (const term of removed) this.#identities.removeTerm(term);
      },
    });
    for (const key of snapshot.allEndpointKeys()) this.touchEndpoint(key);
  }

  /** The endpoint of a store key came, changed or went: in the store, or here. */
  touchEndpoint(key: string): void {
    const at = endpoints.place(key);
    if (at === undefined) return;
    const { tenant, node, id } = at;
    const before = this.#known.get(key);
    // What runs here is known here first; its labels and named ports may have been changed in the store.
    const isHere = node === this.#options.node;
    const now = isHere ? this.#localEndpoint(id, key) : this.#options.snapshot.endpoint(key);
    for (const address of this.#known.set(key, now)) this.#options.stale(`address ${address}`);
    if (now === undefined) this.#identities.delete(key);
    else this.#identities.set(key, now);
    if ([before, now].some((each) => (each?.ports.length ?? 0) > 0))
      for (const id of this.#namers) this.#options.stale(`network ${id}`);
    if (!isHere) return;
    this.#policies.follow(tenant, this.#options.idsOf(tenant).size > 0);
    this.#touchSubject(id);
  }

  touchPolicy(key: string): void {
    const tenant = policies.place(key)?.tenant ?? '';
    const change = this.#policies.change(tenant, key);
    if (change === undefined) return;
    const met = [...this.#identities.all()].filter(({ answers }) =>
      [...change.terms].some((term) => answers.has(term)),
    );
    for (const id of this.#options.idsOf(tenant)) {
      const endpoint = this.#localEndpoint(id);
      if (endpoint === undefined || !change.isAbout(endpoint)) continue;
      const before = this.#subjects.get(id);
      this.#subjects.delete(id);
      const isSameKind = before !== undefined && this.#subject(id)?.kind === before.kind;
      if (!isSameKind || change.meansAnybody) {
        this.#touchSubject(id);
        continue;
      }
      // An identity that fulfils none of its terms is allowed what was allowed before.
      for (const { number } of met) this.#options.stale(`pair ${number} ${id}`);
      if (change.meansNetworks) this.#options.stale(`network ${id}`);
    }
  }

  touchNamespace(tenant: string, namespace: string): void {
    this.#identities.judgeAgain(tenant, namespace);
  }

  /** Whether two tenants may talk has changed, or whether one is known at all. */
  touchFriends(...tenants: readonly string[]): void {
    for (const tenant of tenants) {
      this.#identities.judgeAgain(tenant);
      for (const id of this.#options.idsOf(tenant)) this.#touchSubject(id);
    }
  }

  /** Decides who everybody is: before parts are made. */
  settle(): void {
    this.#identities.settle();
  }

  get hasUnused(): boolean {
    return this.#identities.hasUnused || this.#portSets.hasUnused;
  }

  /** Lets go of identities and port sets that nothing has used since the last sweep: no packet under way can mean them any more. */
  sweep(): void {
    for (const { number, tenant } of this.#identities.sweep()) {
      for (const id of this.#seenBy(tenant)) this.#options.stale(`pair ${number} ${id}`);
    }
    this.#portSets.sweep();
  }

  *parts(): Generator<string> {
    for (const address of this.#known.addresses()) yield `address ${address}`;
    for (const id of this.#options.local.keys()) yield* this.#partsOf(id);
    yield* this.#portSets.parts();
  }

  /** Whose an address is, if it is the tenant's own or a peer's. */
  whoHas(address: IpAddress, tenant: string): Endpoint | undefined {
    const key = this.#known.holderOf(address);
    const holder = key === undefined ? undefined : this.#known.get(key);
    return holder !== undefined && this.#sees(tenant, holder.tenant) ? holder : undefined;
  }

  /** The items of a part; undefined for a name that is not one of ours. */
  make(kind: string, rest: string): Iterable<Item> | undefined {
    switch (kind) {
      case 'address':
        return this.#addressItems(rest as IpAddress);
      case 'pair': {
        const [number = '', id = ''] = rest.split(' ');
        return this.#portSets.using(`pair ${rest}`, (use) => this.#pairItems(Number(number), id, use));
      }
      case 'friends':
        return this.#portSets.using(`friends ${rest}`, (use) => this.#friendItems(rest, use));
      case 'network':
        return this.#portSets.using(`network ${rest}`, (use) => this.#networkItems(rest, use));
      case 'ports':
        return this.#portSets.items(Number(rest));
      default:
        return undefined;
    }
  }

  *#addressItems(address: IpAddress): Generator<Item> {
    const key = this.#known.holderOf(address);
    const identity = key === undefined ? undefined : this.#identities.of(key);
    if (identity !== undefined)
      yield { kind: 'element', collection: 'identity', fields: [address], value: identity.number };
  }

  *#pairItems(number: number, id: string, use: (text: string) => number): Generator<Item> {
    const subject = this.#subject(id);
    const identity = this.#identities.withNumber(number);
    if (subject === undefined || identity === undefined) return;
    if (!this.#friendsOf(subject.endpoint.tenant).some(({ name }) => name === identity.tenant)) return;
    const isItself = this.#identities.of(this.#keyOf(subject.endpoint)) === identity;
    yield* pairs(subject, number, isItself, (side) => use(side.portsFor(identity.answers)));
  }

  /** Endpoints of the tenant and its peers that no policy speaks of, and what is beyond the cluster. */
  *#friendItems(id: string, use: (text: string) => number): Generator<Item> {
    const subject = this.#subject(id);
    if (subject === undefined) return;
    const { endpoint, egress } = subject;
    const friends = this.#friendsOf(endpoint.tenant);
    if (friends.length === 0) return;
    const isItself = this.#identities.of(this.#keyOf(endpoint)) === undefined;
    for (const { name, vni } of friends) {
      yield* pairs(subject, vni, isItself && name === endpoint.tenant, (side) => use(side.portsFor(NO_ANSWERS)));
    }
    const beyond = use(egress.portsBeyond());
    if (beyond === PORT_SET.none && !egress.hasNetworks) return;
    yield { kind: 'element', collection: 'egress', fields: [0, podLinkName(id)], value: beyond };
  }

  *#networkItems(id: string, use: (text: string) => number): Generator<Item> {
    const subject = this.#subject(id);
    const friends = subject === undefined ? [] : this.#friendsOf(subject.endpoint.tenant);
    this.#namers.delete(id);
    if (subject === undefined || friends.length === 0) return;
    const link = podLinkName(id);
    for (const direction of DIRECTIONS) {
      const side = subject[direction];
      // An endpoint that is called knows its own ports' names.
      const isNamer = direction === 'egress' && side.namesPorts;
      if (isNamer) this.#namers.add(id);
      const named = isNamer ? this.#endpointsOf(friends) : [];
      for (const { base, bits, ports } of side.regions(subject.endpoint.ips, named)) {
        yield { kind: 'element', collection: `${direction}Net/${bits}`, fields: [link, base], value: use(ports) };
      }
    }
  }

  *#endpointsOf(tenants: readonly Tenant[]): Generator<Endpoint> {
    const names = new Set(tenants.map(({ name }) => name));
    for (const endpoint of this.#known.all()) if (names.has(endpoint.tenant)) yield endpoint;
  }

  #subject(id: string): Subject | undefined {
    const known = this.#subjects.get(id);
    if (known !== undefined) return known;
    const endpoint = this.#localEndpoint(id);
    if (endpoint === undefined) return undefined;
    const made = new Subject(endpoint, this.#policies.of(endpoint));
    this.#subjects.set(id, made);
    return made;
  }

  #touchSubject(id: string): void {
    this.#subjects.delete(id);
    for (const part of this.#partsOf(id)) this.#options.stale(part);
  }

  *#partsOf(id: string): Generator<string> {
    yield `friends ${id}`;
    yield `network ${id}`;
    for (const { number } of this.#identities.all()) yield `pair ${number} ${id}`;
  }

  #onMoved(key: string, was: Identity | undefined, is: Identity | undefined): void {
    const { stale, local } = this.#options;
    for (const address of this.#known.get(key)?.ips ?? []) stale(`address ${address}`);
    const id = endpoints.place(key)?.id;
    const here = id === undefined ? undefined : local.get(id);
    if (here === undefined || this.#keyOf(here) !== key) return;
    // A pod may always meet itself.
    for (const identity of [was, is]) stale(identity === undefined ? `friends ${id}` : `pair ${identity.number} ${id}`);
  }

  #localEndpoint(id: string, key?: string): Endpoint | undefined {
    const { snapshot, local } = this.#options;
    const endpoint = local.get(id);
    if (endpoint === undefined || (key !== undefined && this.#keyOf(endpoint) !== key)) return undefined;
    const stored = snapshot.endpoint(this.#keyOf(endpoint));
    // A record of an earlier endpoint with the same id says nothing of this one.
    if (stored === undefined || stored.createdAt !== endpoint.createdAt) return endpoint;
    return { ...endpoint, labels: stored.labels, ports: stored.ports };
  }

  #keyOf({ tenant, id }: Endpoint): string {
    return keys.endpoint(tenant, this.#options.node, id);
  }

  /** Tenants whose endpoints one's own may talk to. */
  #friendsOf(name: string): Tenant[] {
    const { snapshot } = this.#options;
    const tenant = snapshot.tenant(name);
    return tenant === undefined ? [] : [tenant, ...snapshot.peersOf(name)];
  }

  /** Itself and its peers. */
  #sees(tenant: string, other: string): boolean {
    if (tenant === other) return true;
    for (const { name } of this.#options.snapshot.peersOf(tenant)) if (name === other) return true;
    return false;
  }

  /** Endpoints here that a tenant's may talk to. */
  *#seenBy(tenant: string): Generator<string> {
    yield* this.#options.idsOf(tenant);
    for (const peer of this.#options.snapshot.peersOf(tenant)) yield* this.#options.idsOf(peer.name);
  }
}
