/** Bodies that are handed on as they come, for a route that takes more than memory should hold twice. */
import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';

/** A request of this application has a body of this type, as a stream, and of no other. */
export function acceptStream(app: FastifyInstance, type: string): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(type, (_request, payload, done) => done(null, payload));
}

class TooLarge extends Error {
  readonly statusCode = 413;
}

/**
 * The stream's parts. What is left is read and dropped where its reader stops before, so that the caller hears the answer.
 * @throws TooLarge, as the framework's own: status 413
 */
export async function* atMost(bytes: number, stream: Readable): AsyncGenerator<Uint8Array, void, undefined> {
  let sum = 0;
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      sum += (chunk as Uint8Array).length;
      if (sum > bytes) throw new TooLarge('the body is too large');
      yield chunk as Uint8Array;
    }
  } finally {
    stream.resume();
  }
}
