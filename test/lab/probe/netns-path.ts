/** Where `ip netns` keeps its names. Pure. */

/** @param netns a name, or already a path @see ip-netns(8) */
export function netnsPath(netns: string): string {
  return netns.startsWith('/') ? netns : `/run/netns/${netns}`;
}
