/** Maps of maps: what each tenant has, by the tenant's name and then by a key. Pure. */

/** Keys of the inner maps. @param tenant '': of all */
export function* keysIn(map: ReadonlyMap<string, ReadonlyMap<string, unknown>>, tenant: string): Generator<string> {
  for (const each of tenant === '' ? map.keys() : [tenant]) yield* map.get(each)?.keys() ?? [];
}

/** Takes a key out of an inner map, and that with its last one. */
export function drop(
  map: Map<string, { delete(key: string): boolean; readonly size: number }>,
  first: string,
  key: string,
): void {
  const inner = map.get(first);
  if (inner?.delete(key) === true && inner.size === 0) map.delete(first);
}

/** What the map has under the key, made if it has nothing. */
export function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
