/**
 * The one place where an error becomes an answer: domain errors by their code, HTTP's own by fastify's, everything else as a fault of
 * ours that is logged and not shown.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Conflict, DomainError, InvalidInput, NotFound, QuotaExceeded } from '../errors.ts';
import { RecordError } from '../model/kinds/kind.ts';
import { IndeterminateCommit } from '../store/store.ts';
import { formatProblem, PROBLEM_TYPE, PROBLEMS, type ProblemDetail } from './problems.ts';

/** Seconds after which to try again while the store is away; a leader's loss is over in less. */
const RETRY_AFTER_SECONDS = 2;

export function useErrorHandler(app: FastifyInstance): void {
  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set();
    methods.set(url, new Set([...known, ...[method].flat()]));
  });
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const allowed = [...methods].filter(([url]) => matchesRoute(url, path)).flatMap(([, known]) => [...known]);
    if (allowed.length === 0)
      return sendProblem(reply, request.id, { code: 'not_found', detail: `the path ${path} does not exist` });
    const allow = [...new Set(allowed)].sort().join(', ');
    reply.header('allow', allow);
    const detail = `${path} does not support ${request.method}, only ${allow}`;
    return sendProblem(reply, request.id, { code: 'method_not_allowed', detail });
  });
}

/** Does a path such as `/v1/tenants/blue` fit a route such as `/v1/tenants/:tenant`? */
function matchesRoute(route: string, path: string): boolean {
  const wanted = route.split('/');
  const given = path.split('/');
  return wanted.length === given.length && wanted.every((part, index) => part.startsWith(':') || part === given[index]);
}

export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const problem = toProblem(error);
  if (problem.code === 'internal') request.log.error({ err: error }, 'a request failed by a fault of ours');
  else if (problem.code === 'unavailable') request.log.warn({ reason: problem.detail }, 'the store does not answer');
  else if (problem.code === 'record_unreadable')
    request.log.warn({ reason: problem.detail }, 'a record cannot be read');
  return sendProblem(reply, request.id, problem);
}

export function sendProblem(reply: FastifyReply, requestId: string, problem: ProblemDetail): FastifyReply {
  const { status } = PROBLEMS[problem.code];
  reply.header('x-request-id', requestId);
  if (problem.code === 'unavailable') reply.header('retry-after', RETRY_AFTER_SECONDS);
  if (problem.code === 'unauthorized') reply.header('www-authenticate', 'Bearer realm="tenet"');
  // With a serializer of its own, fastify adds no charset: this type has none. @see RFC 9457 section 6.1
  return reply
    .code(status)
    .type(PROBLEM_TYPE)
    .serializer((body) => JSON.stringify(body))
    .send(formatProblem(problem, requestId));
}

function toProblem(error: unknown): ProblemDetail {
  if (error instanceof DomainError) return domainProblem(error);
  if (error instanceof IndeterminateCommit) return { code: 'unavailable', detail: error.message };
  if (error instanceof RecordError) return { code: 'record_unreadable', detail: `the record ${error.message}` };
  return httpProblem(error) ?? { code: 'internal', detail: 'the controller failed; see its log' };
}

function domainProblem(error: DomainError): ProblemDetail {
  const { code, message } = error;
  if (error instanceof InvalidInput) {
    const detail = error.errors.length === 1 ? message : `${error.errors.length} fields are at fault`;
    return { code, detail, errors: error.errors };
  }
  if (error instanceof QuotaExceeded) return { code, detail: message, errors: [{ field: error.field, message }] };
  if (!(error instanceof Conflict || error instanceof NotFound)) return { code, detail: message };
  const holder = error instanceof Conflict ? error.holder : undefined;
  return {
    code,
    detail: message,
    ...(error.field === undefined ? {} : { errors: [{ field: error.field, message }] }),
    ...(holder === undefined ? {} : { holder }),
  };
}

/** What fastify refuses before a handler is asked; undefined for what is no refusal. */
function httpProblem(error: unknown): ProblemDetail | undefined {
  if (!(error instanceof Error)) return undefined;
  const { statusCode, message } = error as Error & { readonly statusCode?: unknown };
  if (statusCode === 413) return { code: 'payload_too_large', detail: PROBLEMS.payload_too_large.meaning };
  if (statusCode === 415) return { code: 'unsupported_media_type', detail: PROBLEMS.unsupported_media_type.meaning };
  if (typeof statusCode !== 'number' || statusCode < 400 || statusCode > 499) return undefined;
  return { code: 'invalid_input', detail: message, errors: [{ field: 'body', message }] };
}
