/**
 * Puts what REST answered on the terminal, as the user wants it.
 */
import { isJson, type Json } from '../connection.ts';
import { type KindName, viewOf } from '../kinds.ts';
import { type Format, formatObjects } from '../output.ts';
import type { Terminal } from '../terminal.ts';

/** The rows of an answer: a list's items, or the one object. */
export function objectsOf(body: Json): readonly Json[] {
  return Array.isArray(body.items) ? body.items.filter(isJson) : [body];
}

/** An object or a list. An empty table is said on stderr, so that what reads stdout gets nothing. */
export function show({ out, err, nowMs }: Terminal, format: Format = 'table', kind: KindName, body: Json): void {
  const objects = objectsOf(body);
  if (objects.length === 0 && (format === 'table' || format === 'wide')) err(`No ${kind} found.\n`);
  else out(formatObjects(format, body, objects, viewOf(kind), nowMs()));
  const unreadable = Array.isArray(body.unreadable) ? body.unreadable.filter(isJson) : [];
  for (const { key, reason } of unreadable)
    err(`tenetctl: left out ${String(key)}, which the controller cannot read: ${String(reason)}\n`);
}

/** What a write did: a line of words, or the object itself where a format was asked for. */
export function showWritten(
  terminal: Terminal,
  format: Format | undefined,
  kind: KindName,
  body: unknown,
  done: string,
): void {
  if (format === undefined || !isJson(body)) terminal.out(`${done}\n`);
  else show(terminal, format, kind, body);
}
