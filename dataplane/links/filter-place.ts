/**
 * Where filters hang on a link: its clsact queueing, put there and taken away so that no packet sent to the link meanwhile is lost.
 */
import { encodeAddClsact } from '../codecs/rtnetlink/filter.ts';
import { encodeHoldNeighbour, encodeReleaseNeighbour, type NeighbourSpec } from '../codecs/rtnetlink/neighbour.ts';
import type { RtBatch, Rtnetlink } from '../codecs/rtnetlink/rtnetlink.ts';
import { ERRNO } from '../errors.ts';

/** A link by its name and number. */
export interface LinkPlace {
  readonly link: string;
  readonly index: number;
}

/** Gives links what filters hang on, where they have none. */
export function prepareLinks(batch: RtBatch, rtnetlink: Rtnetlink, links: readonly LinkPlace[]): void {
  const neighbours = links.length === 0 ? [] : permanentNeighbours(rtnetlink);
  for (const each of links) {
    const here = neighbours.filter(({ linkIndex: at }) => at === each.index);
    prepare(batch, each, here);
  }
}

/** Gives one link what filters hang on; `neighbours` are its own. */
export function prepare(batch: RtBatch, { link, index }: LinkPlace, neighbours: readonly NeighbourSpec[]): void {
  holding(batch, link, neighbours, () => {
    const ignored = [ERRNO.EEXIST, ERRNO.ENODEV];
    batch.add('RTM_NEWQDISC', `clsact dev ${link}`, (out) => encodeAddClsact(out, index), ignored);
  });
}

/** Every permanent neighbour of this namespace that has an address and a MAC. */
export function permanentNeighbours(rtnetlink: Rtnetlink): readonly NeighbourSpec[] {
  return rtnetlink
    .neighbours()
    .flatMap(({ linkIndex: at, address, mac, permanent }) =>
      permanent && address && mac ? [{ linkIndex: at, address, mac }] : [],
    );
}

/**
 * Around a change of a link's queueing: the kernel drops for a moment what is sent to a link that is up. In one batch, so that nothing
 * comes between, what goes to the link's neighbours waits until it is over. @see net/sched/sch_api.c, qdisc_graft
 */
export function holding(batch: RtBatch, link: string, neighbours: readonly NeighbourSpec[], change: () => void): void {
  const each = (encode: typeof encodeHoldNeighbour) => {
    for (const spec of neighbours)
      batch.add('RTM_NEWNEIGH', `neighbour ${spec.address} dev ${link}`, (out) => encode(out, spec), [
        ERRNO.ENOENT,
        ERRNO.ENODEV,
      ]);
  };
  each(encodeHoldNeighbour);
  change();
  each(encodeReleaseNeighbour);
}
