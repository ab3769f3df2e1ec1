/**
 * Domain errors and their stable codes. Raised where the fact is known, translated once: into a problem document by
 * api/error-handler.ts, into a CNI error by the agent. Match on `code`, never on the message. Pure.
 */

/** Every stable code, in the order of the table in docs/rest.md. */
export type ErrorCode =
  | 'invalid_input'
  | 'not_found'
  | 'conflict'
  | 'precondition_failed'
  | 'exhausted'
  | 'quota_exceeded'
  | 'unavailable';

/** One thing wrong with one field. `field` is a path such as `subnets[0]` or `spec.ingress[0].ports[0].endPort`. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** Base of all expected failures. */
export abstract class DomainError extends Error {
  abstract readonly code: ErrorCode;
}

/** What was sent cannot be: the request must change. Carries every field at fault. */
export class InvalidInput extends DomainError {
  readonly code = 'invalid_input';
  readonly errors: readonly FieldError[];
  constructor(field: string, message: string, more: readonly FieldError[] = []) {
    super(`${field}: ${message}`);
    this.errors = [{ field, message }, ...more];
  }
}

/** The object named does not exist. */
export class NotFound extends DomainError {
  readonly code = 'not_found';
  readonly kind: string;
  readonly id: string;
  /** part of the request that names it, where several could */
  readonly field: string | undefined;
  constructor(kind: string, id: string, field?: string) {
    super(`${kind} ${JSON.stringify(id)} does not exist`);
    this.kind = kind;
    this.id = id;
    this.field = field;
  }
}

/** Something else stands in the way: a stale revision, a name taken, an object still in use. */
export class Conflict extends DomainError {
  readonly code = 'conflict';
  /** field of the request at fault, where there is one */
  readonly field: string | undefined;
  /** who holds what was wanted, where known */
  readonly holder: string | undefined;
  constructor(message: string, detail: { field?: string; holder?: string } = {}) {
    super(message);
    this.field = detail.field;
    this.holder = detail.holder;
  }
}

/** The object is not what the caller said it must be (If-Match, If-None-Match): nothing was written. */
export class PreconditionFailed extends DomainError {
  readonly code = 'precondition_failed';
  /** the object's revision now; undefined when there is none */
  readonly revision: number | undefined;
  constructor(message: string, revision?: number) {
    super(message);
    this.revision = revision;
  }
}

/** A pool has nothing left to give. */
export class Exhausted extends DomainError {
  readonly code = 'exhausted';
  /** such as `vni` or `subnet /22` */
  readonly pool: string;
  constructor(pool: string, message: string) {
    super(message);
    this.pool = pool;
  }
}

/** A tenant's own limit is reached. */
export class QuotaExceeded extends DomainError {
  readonly code = 'quota_exceeded';
  /** such as `quota.endpoints` */
  readonly field: string;
  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

/** A peer (the store, the agent) does not answer; the same request may succeed later. */
export class Unavailable extends DomainError {
  readonly code = 'unavailable';
  readonly peer: string;
  constructor(peer: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.peer = peer;
  }
}
