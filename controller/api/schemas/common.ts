/**
 * Pieces of schemas that several resources share. Shapes only: what content is valid, the model says. Pure.
 */
import { type TSchema, Type } from '@fastify/type-provider-typebox';

/** What a DNS label looks like; in paths, where nothing else can name an object. */
const NAME_PATTERN = '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$';

export const pathName = (description: string, example: string) =>
  Type.String({ pattern: NAME_PATTERN, description, examples: [example] });

export const TenantParams = Type.Object({ tenant: pathName("the tenant's name", 'blue') });

export const Revision = Type.Integer({
  description: 'revision of the last change; the ETag is the same number in quotes',
  examples: [42],
});

export const Labels = Type.Record(Type.String(), Type.String(), {
  description: 'keys and values follow the Kubernetes rules; at most 64 labels',
  examples: [{ 'app.kubernetes.io/part-of': 'shop' }],
});

export const Cidr = Type.String({ description: 'a network without host bits', examples: ['10.128.4.0/22'] });

/** A schema that stands in the document once, under its name: `$id`. */
export function reference(schema: TSchema): TSchema {
  return Type.Unsafe<unknown>({ $ref: `${String((schema as { readonly $id?: unknown }).$id)}#` });
}

/** A successful answer with one of the named schemas. */
export function answer(description: string, schema: TSchema): TSchema {
  const content = { 'application/json': { schema: reference(schema) } };
  return { description, content } as unknown as TSchema;
}

/** A successful answer with one of several named schemas. */
export function answerOneOf(description: string, ...schemas: readonly TSchema[]): TSchema {
  const content = { 'application/json': { schema: Type.Unsafe<unknown>({ anyOf: schemas.map(reference) }) } };
  return { description, content } as unknown as TSchema;
}

/** An answer without a body. */
export function noContent(description: string): TSchema {
  return Type.Null({ description });
}

/** What conditional requests send. */
export const WriteHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'the ETag that was read; 412 if the object has changed since', examples: ['"42"'] }),
  ),
});

export const PutHeaders = Type.Object({
  ...WriteHeaders.properties,
  'if-none-match': Type.Optional(
    Type.String({ description: '`*`: 412 if the object exists already', examples: ['*'] }),
  ),
});

export const ReadHeaders = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({ description: 'the ETag of the copy at hand; 304 if the object is unchanged', examples: ['"42"'] }),
  ),
});

export const UNCHANGED = { 304: noContent('Unchanged: the ETag still matches If-None-Match.') };
