/**
 * Numbers for things that only this node has to tell apart (identities, port sets): made of what the thing is, so that a restarted
 * agent gives the same ones and finds its rules as it left them. Two things of one number take the next free one. Pure.
 */

/** Above every VNI, which is the identity of a tenant's endpoints that no policy speaks of, and every port set without elements. */
const FIRST = 2 ** 25;
const COUNT = 2 ** 31 - FIRST;

export class Numbers {
  readonly #byNumber = new Map<number, string>();
  readonly #byText = new Map<string, number>();

  /** The same for the same text until it is given back. */
  take(text: string): number {
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    let number = FIRST + (hash(text) % COUNT);
    while (this.#byNumber.has(number)) number = FIRST + ((number - FIRST + 1) % COUNT);
    this.#byNumber.set(number, text);
    this.#byText.set(text, number);
    return number;
  }

  /** The text of a number that was taken. */
  textOf(number: number): string | undefined {
    return this.#byNumber.get(number);
  }

  release(number: number): void {
    const text = this.#byNumber.get(number);
    if (text === undefined) return;
    this.#byNumber.delete(number);
    this.#byText.delete(text);
  }
}

/** FNV-1a, mixed once more: texts differ in few characters. u32. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
