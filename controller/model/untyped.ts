/**
 * Reading JSON whose shape is not checked yet: each reader reports what is of the wrong type, and answers with something a parser
 * can go on with. `null` is as good as absent. Pure.
 */
import { entryPath, type Fault } from './faults.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** @returns false for arrays as well */
export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** An object with these fields and no others; reports each that is not known. @param path empty: the document itself */
export function readFields(value: unknown, path: string, known: readonly string[], fault: Fault): Fields {
  if (isAbsent(value)) return {};
  if (!isObject(value)) {
    fault(path || 'body', 'must be an object');
    return {};
  }
  for (const field of Object.keys(value))
    if (!known.includes(field)) fault(path === '' ? field : entryPath(path, field), 'is not a known field');
  return Object.fromEntries(known.flatMap((field) => (Object.hasOwn(value, field) ? [[field, value[field]]] : [])));
}

/** @returns an empty list for what is absent, or no list */
export function readList(value: unknown, path: string, fault: Fault): readonly unknown[] {
  if (isAbsent(value)) return [];
  if (Array.isArray(value)) return value;
  fault(path, 'must be a list');
  return [];
}

/** Reads a list of objects; whatever else is in it is reported and left out. */
export function readEach<T>(
  value: unknown,
  path: string,
  read: (element: Fields, path: string, fault: Fault) => T,
  fault: Fault,
): T[] {
  return readList(value, path, fault).flatMap((element, index) => {
    const at = `${path}[${index}]`;
    if (isObject(element)) return [read(element, at, fault)];
    fault(at, 'must be an object');
    return [];
  });
}

/** @returns undefined for what is absent, or no text */
export function readText(value: unknown, path: string, fault: Fault): string | undefined {
  if (isAbsent(value)) return undefined;
  if (typeof value === 'string') return value;
  fault(path, 'must be text');
  return undefined;
}

/** An object whose values are all text, in the order of its keys: the same map is always written the same way. */
export function readTexts(value: unknown, path: string, fault: Fault): Readonly<Record<string, string>> {
  if (isAbsent(value)) return {};
  if (!isObject(value)) {
    fault(path, 'must be an object');
    return {};
  }
  const entries = Object.entries(value).flatMap(([key, text]): [string, string][] => {
    if (typeof text === 'string') return [[key, text]];
    fault(entryPath(path, key), 'must be text');
    return [];
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
