/**
 * Hears of every transaction of nftables in the namespace it is started in, and says when on stdout: microseconds since 1970, a line for
 * each. Blocks in between, so that nothing else delays it. Ends with who started it.
 */
import { writeSync } from 'node:fs';
import { setPriority } from 'node:os';
import { parseMessages } from '../../dataplane/netlink/message.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { realtimeUs } from '../system/clock.ts';
import { endWithParent } from '../system/tcp.ts';

/** @see include/uapi/linux/netfilter/nfnetlink.h, include/uapi/linux/netfilter/nf_tables.h */
const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;
/** The last notification of a transaction. */
const NEW_GENERATION = (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN;

endWithParent();
// Woken at once, however busy the machine.
setPriority(-20);
const socket = new NetlinkSocket(NETLINK_NETFILTER, [NFNLGRP_NFTABLES]);
writeSync(1, 'ready\n');
let firstUs: number | undefined;
for (;;) {
  const datagram = socket.receive();
  // All that is told of a transaction is told after it: the first of it is nearest.
  firstUs ??= realtimeUs();
  if (![...parseMessages(datagram)].some(({ type }) => type === NEW_GENERATION)) continue;
  writeSync(1, `${firstUs}\n`);
  firstUs = undefined;
}
