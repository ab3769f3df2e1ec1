/** What belongs to an identity, or a link, by a name of its own. Pure. */

/** Things under identities: those of one side are joined with all of the other that have the same one. */
export class Index<T> {
  readonly #map = new Map<number | string, Map<string, T>>();

  set(id: number | string, key: string, value: T): void {
    const known = this.#map.get(id) ?? new Map<string, T>();
    this.#map.set(id, known.set(key, value));
  }

  delete(id: number | string, key: string): void {
    const known = this.#map.get(id);
    known?.delete(key);
    if (known?.size === 0) this.#map.delete(id);
  }

  of(id: number | string): Iterable<T> {
    return this.#map.get(id)?.values() ?? [];
  }
}
