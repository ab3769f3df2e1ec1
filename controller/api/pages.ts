/**
 * Lists on the wire: the query that asks for a page, and the token that leads to the next one. Tokens are opaque to callers; they
 * hold the last key seen. Pure.
 */
import { type Static, type TSchema, Type } from '@fastify/type-provider-typebox';
import { InvalidInput } from '../errors.ts';
import type { Page, PageRequest } from '../operations/paging.ts';
import { reference } from './schemas/common.ts';

const PAGE_FIELDS = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: 'items on a page; 100 by default' }),
  ),
  continue: Type.Optional(Type.String({ maxLength: 1000, description: '`continue` of the previous page' })),
};

/** Query of a list, with what it can be filtered by. */
export const PageQuery = Type.Object(PAGE_FIELDS, { additionalProperties: false });
export const EndpointQuery = Type.Object(
  {
    ...PAGE_FIELDS,
    namespace: Type.Optional(Type.String({ maxLength: 63, description: 'only those in this namespace' })),
    node: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$',
        maxLength: 253,
        description: 'only those on this node',
      }),
    ),
  },
  { additionalProperties: false },
);

/** Query of everything else: there is none, so a misspelt or unknown parameter is not passed over. */
export const NoQuery = Type.Object({}, { additionalProperties: false });

/** Response of a list. */
export function listOf(item: TSchema, description: string): TSchema {
  return Type.Object(
    {
      items: Type.Array(reference(item)),
      unreadable: Type.Optional(
        Type.Array(Type.Object({ key: Type.String(), reason: Type.String() }), {
          description:
            'stored objects of this page that this controller cannot read, left out of `items`; absent: none',
        }),
      ),
      continue: Type.Optional(Type.String({ description: 'pass it to get the next page; absent on the last page' })),
      revision: Type.Integer({ description: "the store's revision at which the page was read" }),
    },
    { description },
  );
}

/** @param prefix of every key in the list @throws InvalidInput for a token that is not of this list */
export function pageOf(query: Static<typeof PageQuery>, prefix: string): PageRequest {
  const limit = query.limit ?? 100;
  if (query.continue === undefined) return { limit };
  const after = Buffer.from(query.continue, 'base64url').toString('utf8');
  if (!after.startsWith(prefix)) throw new InvalidInput('continue', 'is not a token of this list');
  return { limit, after };
}

/** @returns the body of a list */
export function formatPage<T>({ items, unreadable, next, revision }: Page<T>, formatItem: (item: T) => object): object {
  return {
    items: items.map(formatItem),
    ...(unreadable.length === 0 ? {} : { unreadable: unreadable.map(({ key, reason }) => ({ key, reason })) }),
    ...(next === undefined ? {} : { continue: Buffer.from(next).toString('base64url') }),
    revision,
  };
}
