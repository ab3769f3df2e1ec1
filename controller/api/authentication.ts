/**
 * A request must carry the token. This applies to every path, known or not, except the few named here.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { sendProblem } from './error-handler.ts';

/** Probes, and the API's page with the description that it shows: neither holds data. A call tried on the page needs the token. */
const ANONYMOUS: readonly RegExp[] = [/^\/(healthz|readyz)$/, /^\/docs(\/|\/json|\/yaml|\/static\/.*)?$/];

export function useAuthentication(app: FastifyInstance, token: string): void {
  const hasToken = tokenCheck(token);
  app.addHook('onRequest', async (request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    if (ANONYMOUS.some((pattern) => pattern.test(path))) return undefined;
    const { authorization } = request.headers;
    if (hasToken(authorization)) return undefined;
    const isGiven = givenToken(authorization) !== undefined;
    const detail = isGiven ? 'the bearer token is wrong' : 'the request has no bearer token';
    return sendProblem(reply, request.id, { code: 'unauthorized', detail });
  });
}

/** Tells whether a header `Authorization` bears the token. */
export function tokenCheck(token: string): (authorization: string | undefined) => boolean {
  const expected = digest(token);
  return (authorization) => {
    const given = givenToken(authorization);
    return given !== undefined && timingSafeEqual(digest(given), expected);
  };
}

function givenToken(authorization: string | undefined): string | undefined {
  return /^Bearer +(?<token>\S+) *$/i.exec(authorization ?? '')?.groups?.token;
}

/** Of equal length whatever was sent, so that the comparison tells nothing by its time. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
