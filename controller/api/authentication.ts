/**
 * Who may ask: whoever sends the token. Applies to every path, known or not, but those named here.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { sendProblem } from './error-handler.ts';

/** Probes, and the documentation's page itself, which holds no data: it asks for the token before it loads any. */
const ANONYMOUS: readonly RegExp[] = [/^\/(healthz|readyz)$/, /^\/docs(\/|\/static\/.*)?$/];

export function useAuthentication(app: FastifyInstance, token: string): void {
  const expected = digest(token);
  app.addHook('onRequest', async (request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    if (ANONYMOUS.some((pattern) => pattern.test(path))) return undefined;
    const given = /^Bearer +(?<token>\S+) *$/i.exec(request.headers.authorization ?? '')?.groups?.token;
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return undefined;
    const detail = given === undefined ? 'no bearer token was sent' : 'the bearer token is not the right one';
    return sendProblem(reply, request.id, { code: 'unauthorized', detail });
  });
}

/** Of equal length whatever was sent, so that the comparison tells nothing by its time. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
