/**
 * Ears at many links at once: where did a packet that carries a token come in? One look answers for every path that a test did not think
 * of. Tokens are plain text in the packet, found whatever it is wrapped in.
 */
import { expect } from 'vitest';
import { waitFor } from '../../lab/probe/deadline.ts';
import { RawLink } from '../../lab/probe/raw.ts';
import type { Sentinel } from '../../lab/probe/sentinel.ts';
import { inside } from './node-state.ts';

export interface Place {
  readonly name: string;
  readonly netns: string;
  readonly link: string;
}

let tokens = 0;

/** Twelve characters that no packet carries by chance. */
export function newToken(): string {
  return `tk${(++tokens).toString(36).padStart(4, '0')}${Math.random().toString(36).slice(2, 8).padEnd(6, 'x')}`;
}

export class Ears {
  readonly #links: ReadonlyMap<string, RawLink>;
  readonly #sentinel: Sentinel;

  constructor(places: readonly Place[], sentinel: Sentinel) {
    this.#sentinel = sentinel;
    this.#links = new Map(places.map(({ name, netns, link }) => [name, new RawLink(netns, link)]));
  }

  /** Names of the places where a frame with the token came in. */
  heardAt(token: string): readonly string[] {
    return [...this.#links].filter(([, link]) => this.#hears(link, token)).map(([name]) => name);
  }

  /** Resolves once the token came in at a place. @throws WaitTimeout */
  async arrives(token: string, place: string): Promise<void> {
    const link = this.#links.get(place);
    if (link === undefined) throw new Error(`no ear at ${place}`);
    await waitFor(() => this.#hears(link, token), { what: `the packet arrives: ${place}` });
  }

  /**
   * Expects that no token came in anywhere, once a sentinel sent behind the packets is back.
   * @param sent for each packet its token, and the place of its own sending, which is none where it could get to
   */
  async stayDeaf(sent: readonly { what: string; token: string; origin?: string | undefined }[]): Promise<void> {
    await this.#sentinel.pass();
    const found = sent.flatMap(({ what, token, origin }) =>
      this.heardAt(token)
        .filter((place) => place !== origin)
        .map((place) => `${what}: ${place}`),
    );
    expect(found, 'packets that must arrive nowhere').toEqual([]);
  }

  /** Forgets what was heard so far. */
  forget(): void {
    for (const link of this.#links.values()) link.forget();
  }

  close(): void {
    for (const link of this.#links.values()) link.close();
  }

  #hears(link: RawLink, token: string): boolean {
    return link.heard().some(({ direction, frame }) => direction === 'in' && frame.includes(token, 0, 'latin1'));
  }
}

/** Counts packets of one pod link that every rule of Tenet's has let through to the node itself, from now on. */
export async function countFromPods(node: { readonly netns: string }, podLink: string) {
  const table = `ears_${++tokens}`;
  const chain = '{ type filter hook input priority 300; }';
  await inside(node, `nft 'add table inet ${table}; add chain inet ${table} heard ${chain}'`);
  await inside(node, `nft 'add rule inet ${table} heard iifname "${podLink}" counter'`);
  return {
    read: async () => {
      const listed = await inside(node, `nft list chain inet ${table} heard`);
      return Number(/counter packets (\d+)/.exec(listed)?.[1]);
    },
    close: () => inside(node, `nft delete table inet ${table}`),
  };
}
