/**
 * Records to and from the store's text: JSON under a schema version. Readers ignore unknown fields; a version they do not
 * know is an error, never a guess. Pure.
 */

/** raised with every incompatible change of any record */
export const SCHEMA_VERSION = 1;

/** A stored value that is not a record this version can read. */
export class RecordError extends Error {
  readonly code = 'bad_record';
  readonly key: string;
  constructor(key: string, message: string) {
    super(`${key}: ${message}`);
    this.key = key;
  }
}

export function formatRecord(record: object): string {
  return JSON.stringify({ schema: SCHEMA_VERSION, ...record });
}

/** @param key only for the error @throws RecordError */
export function parseRecord<T extends object>(key: string, value: string): T {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw new RecordError(key, 'is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw new RecordError(key, 'is not an object');
  const { schema, ...record } = parsed as { schema?: unknown };
  if (schema !== SCHEMA_VERSION)
    throw new RecordError(key, `has schema ${String(schema)}, this version reads ${SCHEMA_VERSION}`);
  return record as T;
}
