/** For followings that must never fail: one that does ends with the error. */
import type { FollowWatcher } from '../../../controller/store/follow.ts';

export const UNTROUBLED: FollowWatcher = {
  failed: (prefix, error) => {
    throw new Error(`${prefix} could not be followed`, { cause: error });
  },
  recovered: () => undefined,
};
