/**
 * Every way a request can fail: stable code, status, title and meaning. The table in docs/rest.md, the OpenAPI document and the
 * error handler all come from here. Pure.
 */
import { type TSchema, Type } from '@fastify/type-provider-typebox';
import type { ErrorCode, FieldError } from '../errors.ts';

/** Codes of HTTP's own failures, beside those of the domain. */
export type ProblemCode =
  | ErrorCode
  | 'unauthorized'
  | 'method_not_allowed'
  | 'request_timeout'
  | 'payload_too_large'
  | 'unsupported_media_type'
  | 'headers_too_large'
  | 'record_unreadable'
  | 'internal';

export interface ProblemKind {
  readonly status: number;
  readonly title: string;
  readonly meaning: string;
}

/** All there are; a code never changes its meaning. */
export const PROBLEMS: Readonly<Record<ProblemCode, ProblemKind>> = {
  invalid_input: {
    status: 400,
    title: 'Invalid input',
    meaning: 'The request is not valid. `errors` names every field at fault.',
  },
  unauthorized: {
    status: 401,
    title: 'Not authorized',
    meaning: "The bearer token is missing or wrong. The right one is in the controller's token file.",
  },
  not_found: { status: 404, title: 'Not found', meaning: 'The object or the path does not exist.' },
  method_not_allowed: {
    status: 405,
    title: 'Method not allowed',
    meaning: 'The path does not support this method. `Allow` lists the methods that it supports.',
  },
  request_timeout: {
    status: 408,
    title: 'Request timeout',
    meaning: 'The request did not arrive in time: its headers have 10 s, all of it has 30 s.',
  },
  conflict: {
    status: 409,
    title: 'Conflict',
    meaning: 'The name is taken or the object is in use. `holder` names what is in the way, if known.',
  },
  exhausted: { status: 409, title: 'Exhausted', meaning: 'A pool of the cluster is used up.' },
  quota_exceeded: { status: 409, title: 'Quota exceeded', meaning: 'A limit of the tenant is reached.' },
  precondition_failed: {
    status: 412,
    title: 'Precondition failed',
    meaning: 'The object does not match If-Match or If-None-Match. Nothing was changed. Read the object again.',
  },
  payload_too_large: {
    status: 413,
    title: 'Payload too large',
    meaning: 'The body is larger than 256 KiB; of a restore, than 256 MiB.',
  },
  unsupported_media_type: {
    status: 415,
    title: 'Unsupported media type',
    meaning: 'Send application/json; PATCH: also merge-patch+json; policies: also yaml; restores: x-ndjson.',
  },
  headers_too_large: { status: 431, title: 'Headers too large', meaning: 'The headers are larger than 16 KiB.' },
  record_unreadable: {
    status: 500,
    title: 'Record unreadable',
    meaning: 'A record of the store that the request needs cannot be read. `detail` names its key and the reason.',
  },
  internal: {
    status: 500,
    title: 'Internal error',
    meaning: "The controller failed. Its log names the request's id.",
  },
  unavailable: {
    status: 503,
    title: 'Unavailable',
    meaning: 'The store does not answer. Retry after `Retry-After` seconds. A write may or may not have happened.',
  },
};

/** What one failure says besides its kind. */
export interface ProblemDetail {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly errors?: readonly FieldError[];
  readonly holder?: string;
}

/** The body of a failed request. @see RFC 9457 section 3 */
export function formatProblem({ code, ...rest }: ProblemDetail, requestId: string): Record<string, unknown> {
  const { status, title } = PROBLEMS[code];
  return { type: `urn:tenet:problem:${code}`, title, status, code, ...rest, requestId };
}

export const PROBLEM_TYPE = 'application/problem+json';

/** The schema of every failure's body. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: '`urn:tenet:problem:` followed by the code' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ enum: Object.keys(PROBLEMS), description: 'stable: match on this' }),
    detail: Type.String({ description: 'for people; may change' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          field: Type.String({ description: 'a path such as `subnets[0]`', examples: ['subnets[0]'] }),
          message: Type.String(),
        }),
        { description: 'every field that is wrong' },
      ),
    ),
    holder: Type.Optional(Type.String({ description: 'the object that holds the name or address, or is in the way' })),
    requestId: Type.String({ description: "also in X-Request-Id and in the controller's log" }),
  },
  { $id: 'Problem', description: 'RFC 9457 problem document' },
);

/** Response schemas for these failures, by status; those that any request can meet come of themselves. */
export function problemResponses(...codes: readonly ProblemCode[]): Record<number, TSchema> {
  const all: readonly ProblemCode[] = [
    'invalid_input',
    'unauthorized',
    ...codes,
    'record_unreadable',
    'internal',
    'unavailable',
  ];
  const byStatus = new Map<number, ProblemCode[]>();
  for (const code of all) {
    const { status } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, found]) => {
      const description = found.map((code) => `\`${code}\`: ${PROBLEMS[code].meaning}`).join(' ');
      return [
        status,
        { description, content: { [PROBLEM_TYPE]: { schema: { $ref: 'Problem#' } } } } as unknown as TSchema,
      ];
    }),
  );
}
