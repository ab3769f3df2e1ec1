/**
 * What a kind of record is: where its records lie, what they are made of, which versions of them this program reads, and what to do
 * about one that it cannot read. Each kind has a file of its own beside this one, and nothing else takes a key apart or believes what
 * a value says. Pure.
 *
 * Versions: a record is written as version N of its kind. N−1, N and N+1 are read, so that programs of two versions work side by side
 * while a cluster is upgraded. A version that only adds what older readers may pass over raises N by one; one that they must not read
 * raises it by two.
 */
import type { Static, TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { pointerPath } from '../faults.ts';

/** A key and its value as the store has them. */
export interface StoredText {
  readonly key: string;
  readonly value: string;
}

/** Kinds of records that nodes acknowledge apart from each other: see {@link ../kinds/enforced.ts}. */
export type Acknowledged = 'tenant' | 'namespaces' | 'peerings' | 'policies' | 'endpoints';

/** The same without a way to change it. Branded texts stay what they are. */
export type DeepReadonly<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends readonly (infer E)[]
    ? readonly DeepReadonly<E>[]
    : { readonly [K in keyof T]: DeepReadonly<T[K]> };

/** What a record is made of, from its schema. */
export type RecordOf<S extends TSchema> = DeepReadonly<Static<S>>;

/** A stored value that this version cannot read. It counts for nothing but this: whatever it alone could have allowed is denied. */
export class Unreadable {
  readonly key: string;
  /** of the record, by the place it lies in */
  readonly kind: string;
  /** for people: `spec.ingress[0].from[0] must have podSelector, namespaceSelector or ipBlock` */
  readonly reason: string;

  constructor(key: string, kind: string, reason: string) {
    this.key = key;
    this.kind = kind;
    this.reason = reason;
  }
}

/** A request that needs a record which cannot be read. */
export class RecordError extends Error {
  readonly code = 'bad_record';
  readonly unreadable: Unreadable;

  constructor(unreadable: Unreadable) {
    super(`${unreadable.key}: ${unreadable.reason}`);
    this.unreadable = unreadable;
  }
}

/** The part of a kind's keys behind its prefix. */
export interface KeyForm<At extends object> {
  /** for people: `<tenant>/<name>` */
  readonly pattern: string;
  format(at: At): string;
  /** @returns undefined for a text that no record of the kind lies under */
  parse(rest: string): At | undefined;
}

/** Names with slashes between them, none empty. */
export function names<const N extends readonly string[]>(...fields: N): KeyForm<{ readonly [F in N[number]]: string }> {
  type At = { readonly [F in N[number]]: string };
  return {
    pattern: fields.map((field) => `<${field}>`).join('/'),
    format: (at) => fields.map((field) => at[field as N[number]]).join('/'),
    parse: (rest) => {
      const parts = rest.split('/');
      if (parts.length !== fields.length || parts.includes('')) return undefined;
      const at: Record<string, string> = {};
      for (let index = 0; index < fields.length; index++) at[fields[index] as string] = parts[index] as string;
      return at as At;
    },
  };
}

/** Of a kind with one record alone, whose key is the kind's prefix. */
export const only: KeyForm<object> = {
  pattern: '',
  format: () => '',
  parse: (rest) => (rest === '' ? {} : undefined),
};

export interface KindOptions<Name extends string, At extends object, S extends TSchema, R> {
  readonly name: Name;
  /** of every key of the kind; the key itself where there is one record alone */
  readonly prefix: string;
  readonly form: KeyForm<At>;
  readonly schema: S;
  /** that records are written as */
  readonly version: number;
  /** Of a record of the version before, what this one has besides; what is there already must stay. */
  readonly upgrade?: (older: Readonly<Record<string, unknown>>) => object;
  /** what nodes acknowledge it as; absent: they do not */
  readonly acknowledgedAs?: Acknowledged;
  /** the record with what only its key says */
  readonly join?: (at: At, stored: RecordOf<S>) => R;
}

export class Kind<Name extends string, At extends object, S extends TSchema, R = RecordOf<S>> {
  readonly name: Name;
  readonly prefix: string;
  readonly version: number;
  readonly acknowledgedAs: Acknowledged | undefined;
  readonly #options: KindOptions<Name, At, S, R>;
  /** those that go through one event ask for the same key, one after the other */
  #lastKey: string | undefined;
  #lastPlace: At | undefined;
  /** made when the first record is read: a program reads few kinds, and none at its start */
  #validator: Validator | undefined;

  constructor(options: KindOptions<Name, At, S, R>) {
    this.name = options.name;
    this.prefix = options.prefix;
    this.version = options.version;
    this.acknowledgedAs = options.acknowledgedAs;
    this.#options = options;
  }

  key(at: At): string {
    return this.prefix + this.#options.form.format(at);
  }

  /** What a key says of its record. @returns undefined for a key that is none of this kind's */
  place(key: string): At | undefined {
    if (key !== this.#lastKey) {
      const rest = key.startsWith(this.prefix) ? key.slice(this.prefix.length) : undefined;
      this.#lastPlace = rest === undefined ? undefined : this.#options.form.parse(rest);
      this.#lastKey = key;
    }
    return this.#lastPlace;
  }

  format(record: RecordOf<S>): string {
    return formatRecord(record as object, this.version);
  }

  /** The one way from a stored value to a record: its key, version, shape and whether it says what its key says. */
  read(entry: StoredText): R | Unreadable {
    return this.readAt(this.place(entry.key), entry);
  }

  /** The same where the key has been taken apart already. @param at undefined: that failed */
  readAt(at: At | undefined, { key, value }: StoredText): R | Unreadable {
    if (at === undefined) return this.#fail(key, `is no key of the form ${this.prefix}${this.#options.form.pattern}`);
    let parsed: unknown;
    try {
      parsed = JSON.parse(value);
    } catch {
      return this.#fail(key, 'is not JSON');
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
      return this.#fail(key, 'is not an object');
    const { schema, ...fields } = parsed as { readonly schema?: unknown };
    const distance = Number.isInteger(schema) ? Number(schema) - this.version : undefined;
    const isOld = distance === -1 && this.#options.upgrade !== undefined;
    if (distance === undefined || !(isOld || distance === 0 || distance === 1))
      return this.#fail(key, `has schema ${JSON.stringify(schema)}, this version reads ${this.#versions()}`);
    const record = isOld ? { ...this.#options.upgrade?.(fields), ...fields } : fields;
    const fault = this.#findFault(record, at);
    if (fault !== undefined) return this.#fail(key, fault);
    const stored = record as RecordOf<S>;
    return this.#options.join?.(at, stored) ?? (stored as R);
  }

  /** @throws RecordError */
  get(entry: StoredText): R {
    const found = this.read(entry);
    if (found instanceof Unreadable) throw new RecordError(found);
    return found;
  }

  /** @returns undefined for one that cannot be read */
  find(entry: StoredText): R | undefined {
    const found = this.read(entry);
    return found instanceof Unreadable ? undefined : found;
  }

  #findFault(record: object, at: At): string | undefined {
    this.#validator ??= Compile(this.#options.schema) as unknown as Validator;
    if (!this.#validator.Check(record)) {
      const [first] = this.#validator.Errors(record);
      return first === undefined ? 'is not of the shape it should be' : describe(first);
    }
    // It must not pass for another one.
    for (const field in at) {
      const said = (record as Readonly<Record<string, unknown>>)[field];
      if (said !== undefined && said !== at[field]) return `${field} is not what the key says`;
    }
    return undefined;
  }

  #versions(): string {
    const { version } = this;
    const older = this.#options.upgrade === undefined ? [] : [version - 1];
    return [...older, version].join(', ').concat(` and ${version + 1}`);
  }

  #fail(key: string, reason: string): Unreadable {
    return new Unreadable(key, this.name, reason);
  }
}

/** Reads records of one kind. */
export type Reader<R> = Pick<Kind<string, object, TSchema, R>, 'name' | 'read' | 'get' | 'find'>;

/** A record as the store keeps it. @param version of its kind */
export function formatRecord(record: object, version = 1): string {
  return JSON.stringify({ schema: version, ...record });
}

function describe({ instancePath, message }: { readonly instancePath: string; readonly message: string }): string {
  const path = pointerPath(instancePath);
  return path === '' ? message : `${path} ${message}`;
}
