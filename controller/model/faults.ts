/**
 * Collecting faults: parsers report each one with its field and go on, so that a caller learns of all of them at once. Pure.
 */
import { type FieldError, InvalidInput } from '../errors.ts';

/** Reports one fault. `field` is a path such as `subnets[0]`. */
export type Fault = (field: string, message: string) => void;

/**
 * Runs a parser to its end.
 * @throws InvalidInput with every fault it reported, if there was one
 */
export function collectFaults<T>(parse: (fault: Fault) => T): T {
  const found: FieldError[] = [];
  const result = parse((field, message) => found.push({ field, message }));
  const [first, ...more] = found;
  if (first !== undefined) throw new InvalidInput(first.field, first.message, more);
  return result;
}

/** The path of one entry of a map: `labels.app`, or `labels["tenet.dev/app"]` where a dot would mislead. */
export function entryPath(map: string, key: string): string {
  return /^[A-Za-z_][A-Za-z0-9_-]*$/.test(key) ? `${map}.${key}` : `${map}[${JSON.stringify(key)}]`;
}

/** A JSON pointer as a path: `/subnets/0` → `subnets[0]` @see RFC 6901 */
export function pointerPath(pointer: string): string {
  const segments = pointer.split('/').slice(1);
  return segments.reduce((path, each) => within(path, each.replaceAll('~1', '/').replaceAll('~0', '~')), '');
}

/** The path of one part of what `path` leads to; the whole has none. */
export function within(path: string, name: string): string {
  if (path === '') return name;
  return /^\d+$/.test(name) ? `${path}[${name}]` : entryPath(path, name);
}
