/**
 * Which test files may be run a second time after they failed. A failure about isolation is never luck: the packet that passed once, or
 * the address that two were given once, is the fault itself, however seldom it is seen. So a file may be run again only if it is named
 * here, and it is named here only if nothing in it can fail because
 *  - a packet passed, or a rule or a state of the kernel would let one pass, or a tenant was told what is not theirs;
 *  - one thing was given to two, or taken from one that still holds it, or news of it was lost;
 *  - a case that was drawn at random, or a moment that was, is handled wrong: the next draw would hide it.
 * No file of test/e2e is here. A file that is new, renamed or forgotten here fails at once: that is the safe mistake.
 */

/** Files, and folders (with a slash at the end), from the root of the checkout. */
export const MAY_RUN_AGAIN: readonly string[] = [
  // the tests' own tools, and what measures
  'test/architecture.test.ts',
  'test/bench/',
  'test/ci/',
  'test/lab/setup.test.ts',
  'test/lab/topology.test.ts',
  // the CNI binary, the agent's socket and files
  'test/cni-plugin/agent/endpoints/journal.test.ts',
  'test/cni-plugin/agent/socket/request.test.ts',
  'test/cni-plugin/agent/socket/server.test.ts',
  'test/cni-plugin/binary.test.ts',
  'test/cni-plugin/plugin.test.ts',
  'test/cni-plugin/protocol.test.ts',
  'test/cni-plugin/result.test.ts',
  // the controller as a process, REST but for reachability, tenetctl, the store but for what is lost or given twice
  'test/controller/api/app.test.ts',
  'test/controller/api/resources.test.ts',
  'test/controller/cli/',
  'test/controller/config.test.ts',
  'test/controller/embedded-etcd.test.ts',
  'test/controller/listen.test.ts',
  'test/controller/main.test.ts',
  'test/controller/store/etcd-kv.test.ts',
  'test/controller/store/etcd-lease.test.ts',
  'test/controller/store/etcd-store.test.ts',
  'test/controller/store/memory-store.test.ts',
  'test/controller/token.test.ts',
  'test/controller/unparsed.test.ts',
  // netlink itself, no rules
  'test/dataplane/netlink/connection.test.ts',
  'test/kernel/agent-cost.test.ts',
  'test/kernel/netns.test.ts',
  'test/kernel/rtnetlink.test.ts',
];

export function mayRunAgain(file: string): boolean {
  return MAY_RUN_AGAIN.some((each) => (each.endsWith('/') ? file.startsWith(each) : file === each));
}
