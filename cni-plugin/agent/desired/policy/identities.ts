/**
 * Who endpoints are to policies: endpoints of the same tenant that fulfil the same terms are one identity, whatever their labels. Those
 * that fulfil none have no identity of their own: their tenant's is theirs. Endpoints with the same labels are judged together, and only
 * by terms that are new to them, so a new pod with known labels costs a look-up. Pure.
 */
import type { Endpoint, Labels } from '../../../../controller/model/records.ts';
import { Numbers } from './numbers.ts';
import type { Candidate, Term } from './terms.ts';

export interface Identity {
  readonly number: number;
  readonly tenant: string;
  /** of each term that it fulfils: what the term says of it */
  readonly answers: ReadonlyMap<string, string>;
}

export interface IdentitiesOptions {
  readonly namespaceLabels: (tenant: string, namespace: string) => Labels | undefined;
  /** do the tenant's policies see the other's endpoints? Its own, and those of peers. */
  readonly sees: (tenant: string, other: string) => boolean;
  /** the endpoint has another identity now */
  readonly onMoved: (key: string, was: Identity | undefined, is: Identity | undefined) => void;
  /** a new one, or one that has endpoints again */
  readonly onUsed: (identity: Identity) => void;
}

/** Endpoints of a namespace that no selector can tell apart. */
interface LabelClass {
  readonly key: string;
  readonly tenant: string;
  readonly namespace: string;
  readonly labels: Labels;
  readonly ports: Endpoint['ports'];
  readonly answers: Map<string, string>;
  /** by their store keys */
  readonly endpoints: Set<string>;
  identity: Identity | undefined;
}

interface Counted extends Identity {
  /** label classes that are it */
  uses: number;
}

export class Identities {
  readonly #options: IdentitiesOptions;
  readonly #numbers = new Numbers();
  readonly #byNumber = new Map<number, Counted>();
  readonly #classes = new Map<string, LabelClass>();
  readonly #classesOf = new Map<string, Set<LabelClass>>();
  readonly #classOf = new Map<string, LabelClass>();
  /** those that count: with how many rules ask */
  readonly #terms = new Map<string, { readonly term: Term; uses: number }>();
  /** whose answers have changed */
  readonly #dirty = new Set<LabelClass>();
  readonly #unused = new Set<Counted>();
  /** those of them that were so at the last sweep already */
  #old = new Set<Counted>();

  constructor(options: IdentitiesOptions) {
    this.#options = options;
  }

  /** @param key of the store */
  set(key: string, endpoint: Endpoint): void {
    const wanted = this.#classFor(endpoint);
    const before = this.#classOf.get(key);
    if (before === wanted) return;
    before?.endpoints.delete(key);
    wanted.endpoints.add(key);
    this.#classOf.set(key, wanted);
    this.#moved(key, before?.identity, wanted.identity);
    if (before !== undefined) this.#dropIfEmpty(before);
  }

  delete(key: string): void {
    const before = this.#classOf.get(key);
    if (before === undefined) return;
    this.#classOf.delete(key);
    before.endpoints.delete(key);
    this.#moved(key, before.identity, undefined);
    this.#dropIfEmpty(before);
  }

  /** @returns undefined: no identity of its own */
  of(key: string): Identity | undefined {
    return this.#classOf.get(key)?.identity;
  }

  withNumber(number: number): Identity | undefined {
    return this.#byNumber.get(number);
  }

  all(): Iterable<Identity> {
    return this.#byNumber.values();
  }

  addTerm(term: Term): void {
    const known = this.#terms.get(term.key);
    if (known !== undefined) {
      known.uses++;
      return;
    }
    this.#terms.set(term.key, { term, uses: 1 });
    for (const [tenant, classes] of this.#classesOf) {
      if (!this.#options.sees(term.tenant, tenant)) continue;
      for (const each of classes) this.#ask(each, term);
    }
  }

  removeTerm({ key }: Term): void {
    const known = this.#terms.get(key);
    if (known === undefined || --known.uses > 0) return;
    this.#terms.delete(key);
    for (const each of this.#classes.values()) if (each.answers.delete(key)) this.#dirty.add(each);
  }

  /** A namespace's labels have changed, or (without one) which tenants' policies see the tenant's endpoints. */
  judgeAgain(tenant: string, namespace?: string): void {
    for (const each of this.#classesOf.get(tenant) ?? []) {
      if (namespace === undefined || each.namespace === namespace) this.#askAll(each);
    }
  }

  /** Makes identities of what has changed since the last call. */
  settle(): void {
    for (const each of this.#dirty) {
      if (each.endpoints.size === 0) continue;
      const before = each.identity;
      const now = this.#intern(each);
      if (before === now) continue;
      each.identity = now;
      this.#use(now);
      this.#release(before);
      for (const key of each.endpoints) this.#moved(key, before, now);
    }
    this.#dirty.clear();
  }

  /** Is there an identity that no endpoint has any more? */
  get hasUnused(): boolean {
    return this.#unused.size > 0;
  }

  /** Forgets identities that no endpoint has had since the last sweep: until then packets under way may still carry them. */
  sweep(): readonly Identity[] {
    const gone = [...this.#unused].filter((each) => each.uses === 0 && this.#old.has(each));
    for (const each of gone) this.#unused.delete(each);
    this.#old = new Set(this.#unused);
    for (const { number } of gone) {
      this.#byNumber.delete(number);
      this.#numbers.release(number);
    }
    return gone;
  }

  #classFor({ tenant, namespace, labels, ports }: Endpoint): LabelClass {
    const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
    const named = ports.map(({ name, protocol, containerPort }) => `${name}/${protocol}/${containerPort}`).sort();
    const key = JSON.stringify([tenant, namespace, sorted, named]);
    const known = this.#classes.get(key);
    if (known !== undefined) return known;
    const made: LabelClass = {
      key,
      tenant,
      namespace,
      labels,
      ports,
      answers: new Map(),
      endpoints: new Set(),
      identity: undefined,
    };
    this.#classes.set(key, made);
    this.#classesOf.set(tenant, (this.#classesOf.get(tenant) ?? new Set()).add(made));
    this.#askAll(made);
    return made;
  }

  #dropIfEmpty(each: LabelClass): void {
    if (each.endpoints.size > 0) return;
    this.#classes.delete(each.key);
    this.#classesOf.get(each.tenant)?.delete(each);
    if (this.#classesOf.get(each.tenant)?.size === 0) this.#classesOf.delete(each.tenant);
    this.#dirty.delete(each);
    this.#release(each.identity);
    each.identity = undefined;
  }

  #askAll(each: LabelClass): void {
    each.answers.clear();
    this.#dirty.add(each);
    for (const { term } of this.#terms.values()) {
      if (this.#options.sees(term.tenant, each.tenant)) this.#ask(each, term);
    }
  }

  #ask(each: LabelClass, term: Term): void {
    const { tenant, namespace, labels, ports } = each;
    const namespaceLabels = this.#options.namespaceLabels(tenant, namespace);
    const who: Candidate = { tenant, namespace, namespaceLabels, labels, ports };
    const answer = term.answer(who);
    if (answer === undefined) return;
    each.answers.set(term.key, answer);
    this.#dirty.add(each);
  }

  #intern({ tenant, answers }: LabelClass): Counted | undefined {
    if (answers.size === 0) return undefined;
    const sorted = [...answers].sort(([a], [b]) => (a < b ? -1 : 1));
    const number = this.#numbers.take(JSON.stringify([tenant, sorted]));
    const known = this.#byNumber.get(number);
    if (known !== undefined) return known;
    const made: Counted = { number, tenant, answers: new Map(sorted), uses: 0 };
    this.#byNumber.set(number, made);
    return made;
  }

  #use(identity: Counted | Identity | undefined): void {
    const counted = identity && this.#byNumber.get(identity.number);
    if (counted === undefined || ++counted.uses > 1) return;
    this.#unused.delete(counted);
    this.#old.delete(counted);
    this.#options.onUsed(counted);
  }

  #release(identity: Identity | undefined): void {
    const counted = identity && this.#byNumber.get(identity.number);
    if (counted !== undefined && --counted.uses === 0) this.#unused.add(counted);
  }

  #moved(key: string, was: Identity | undefined, is: Identity | undefined): void {
    if (was !== is) this.#options.onMoved(key, was, is);
  }
}
