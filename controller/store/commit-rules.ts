/**
 * What a commit may contain, whichever store carries it out. Breaking a rule is a bug of the caller, found here before
 * anything is sent, and so reported the same by every store. Pure.
 */
import type { Guard, Write } from './store.ts';

/** Guards and writes of one commit together; etcd itself takes 128 of each. */
export const MAX_COMMIT_OPERATIONS = 100;

/** Bytes of all keys and values of one commit together; etcd's own limit for the encoded request is 1.5 MiB. */
export const MAX_COMMIT_BYTES = 1_400_000;

/** @throws RangeError when the commit is too large, or touches a key twice */
export function checkCommit(guards: readonly Guard[], writes: readonly Write[]): void {
  const operations = guards.length + writes.length;
  if (operations > MAX_COMMIT_OPERATIONS)
    throw new RangeError(`a commit of ${operations} guards and writes; at most ${MAX_COMMIT_OPERATIONS} are allowed`);
  const bytes = [...guards, ...writes].reduce((sum, operation) => sum + sizeOf(operation), 0);
  if (bytes > MAX_COMMIT_BYTES) throw new RangeError(`a commit of ${bytes} bytes; at most ${MAX_COMMIT_BYTES} fit`);
  checkDisjoint(writes);
}

function checkDisjoint(writes: readonly Write[]): void {
  const keys = new Set<string>();
  for (const write of writes) {
    if (write.kind === 'deleteRange') continue;
    if (keys.has(write.key)) throw new RangeError(`key ${write.key} is written twice in one commit`);
    keys.add(write.key);
  }
  for (const write of writes) {
    if (write.kind !== 'deleteRange') continue;
    for (const key of keys)
      if (key >= write.from && key < write.to) throw new RangeError(`key ${key} is written twice in one commit`);
  }
}

function sizeOf(operation: Guard | Write): number {
  if ('from' in operation) return Buffer.byteLength(operation.from) + Buffer.byteLength(operation.to);
  const value = operation.kind === 'put' ? Buffer.byteLength(operation.value) : 0;
  return Buffer.byteLength(operation.key) + value;
}
