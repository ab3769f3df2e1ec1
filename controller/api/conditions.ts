/**
 * HTTP's conditional requests over the store's revisions: an object's ETag is its revision in quotes. Pure but for the reply.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { InvalidInput } from '../errors.ts';
import type { Precondition, Stored } from '../operations/stored.ts';
import type { Revision } from '../store/store.ts';

export function formatETag(revision: Revision): string {
  return `"${revision}"`;
}

/**
 * `*`, or a list of tags. A weak tag, or one that is not ours, matches nothing.
 * @see RFC 9110 sections 8.8.3 and 13.1
 */
function parseTags(header: string, name: string): 'any' | Revision[] {
  if (header.trim() === '*') return 'any';
  return header.split(',').flatMap((text) => {
    const tag = /^(?<weak>W\/)?"(?<opaque>[\x21\x23-\x7e]*)"$/.exec(text.trim())?.groups;
    if (tag === undefined) throw new InvalidInput(name, 'must be * or a list of quoted tags, such as "42"');
    const revision = tag.weak === undefined && /^\d{1,15}$/.test(tag.opaque ?? '') ? Number(tag.opaque) : undefined;
    return revision === undefined ? [] : [revision];
  });
}

/** What a write demands. @throws InvalidInput for a header that is not valid */
export function preconditionOf({ headers }: FastifyRequest): Precondition {
  const ifMatch = headers['if-match'];
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined && ifNoneMatch.trim() !== '*')
    throw new InvalidInput('If-None-Match', 'must be * in a write: the object must not exist yet');
  return {
    ...(ifMatch === undefined ? {} : { ifMatch: parseTags(ifMatch, 'If-Match') }),
    ...(ifNoneMatch === undefined ? {} : { ifAbsent: true }),
  };
}

/** Sends an object under its tag; 304 without it when a GET says that the caller has it already. */
export function sendObject(
  request: FastifyRequest,
  reply: FastifyReply,
  { revision }: Stored<unknown>,
  body: object,
  status = 200,
): FastifyReply {
  reply.header('etag', formatETag(revision));
  const known = request.headers['if-none-match'];
  if ((request.method === 'GET' || request.method === 'HEAD') && known !== undefined) {
    const tags = parseTags(known.replaceAll('W/', ''), 'If-None-Match');
    if (tags === 'any' || tags.includes(revision)) return reply.code(304).send();
  }
  return reply.code(status).send(body);
}
