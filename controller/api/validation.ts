/**
 * Judges requests against their schemas and says what is wrong in the caller's words: paths as he would write them, one message a
 * field, unknown fields by name.
 */
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifySchemaCompiler } from 'fastify';
import { type FieldError, InvalidInput } from '../errors.ts';
import { pointerPath, within } from '../model/faults.ts';

/** One fault as the validator gives it. */
interface SchemaFault {
  readonly keyword: string;
  /** JSON pointer */
  readonly instancePath: string;
  readonly params: object;
  readonly message?: string;
}

/** Bodies are taken as they are; what comes as text in path and query is converted to what the schema wants. */
export function useValidation(app: FastifyInstance): void {
  app.setValidatorCompiler(TypeBoxValidatorCompiler as Parameters<FastifyInstance['setValidatorCompiler']>[0]);
  app.setSchemaErrorFormatter((faults, part) => {
    const [first, ...more] = describeFaults(
      faults as unknown as readonly SchemaFault[],
      part === 'body' ? 'body' : 'query',
    );
    return new InvalidInput(first?.field ?? part, first?.message ?? 'is not valid', more);
  });
}

/** For a route whose body the model alone judges: its schema is for the document. */
export const bodyIsJudgedLater: FastifySchemaCompiler<object> = (route) =>
  route.httpPart === 'body'
    ? (value: unknown) => ({ value })
    : (TypeBoxValidatorCompiler as unknown as FastifySchemaCompiler<object>)(route);

/** @param whole what to call the value itself */
export function describeFaults(faults: readonly SchemaFault[], whole: string): FieldError[] {
  const messages = new Map<string, string[]>();
  const add = (field: string, message: string) => messages.set(field, [...(messages.get(field) ?? []), message]);
  for (const { keyword, instancePath, params, message } of faults) {
    const path = pointerPath(instancePath);
    if (keyword === 'additionalProperties')
      for (const name of namesIn(params, 'additionalProperties')) add(within(path, name), 'is not a known field');
    else if (keyword === 'required')
      for (const name of namesIn(params, 'requiredProperties')) add(within(path, name), 'is required');
    // `boolean` repeats each unknown field; `anyOf` follows what each alternative said.
    else if (keyword !== 'boolean' && keyword !== 'anyOf') add(path || whole, message ?? 'is not valid');
  }
  return [...messages].map(([field, all]) => ({ field, message: joinMessages(all) }));
}

/** `must be string`, `must be null` → `must be string or null` */
function joinMessages(messages: readonly string[]): string {
  const unique = [...new Set(messages)];
  const types = unique.map((message) => /^must be (\w+)$/.exec(message)?.[1]);
  return types.every((type) => type !== undefined) ? `must be ${types.join(' or ')}` : unique.join('; ');
}

function namesIn(params: object, key: string): string[] {
  const names: unknown = (params as Readonly<Record<string, unknown>>)[key];
  return Array.isArray(names) ? names.map(String) : [];
}
