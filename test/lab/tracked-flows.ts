/** Connection tracking of a lab's nodes as a whole: all flows forgotten, as `conntrack -F` does it, without a process for it. */
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { withNetns } from '../../dataplane/system/netns.ts';
import { netnsPath } from './probe/netns-path.ts';

/** @see include/uapi/linux/netlink.h, nfnetlink.h, nfnetlink_conntrack.h */
const NLM_F_REQUEST_ACK = 1 | 4;
const NLMSG_ERROR = 2;
const CT_DELETE = (1 << 8) | 2;

/** Of both families. @param netns name of a namespace @throws Error with the kernel's errno */
export function forgetFlows(netns: string): void {
  const socket = withNetns(netnsPath(netns), () => new NetlinkSocket(NETLINK_NETFILTER));
  try {
    // struct nlmsghdr, and an empty struct nfgenmsg: no tuple is every flow.
    const request = Buffer.alloc(20);
    request.writeUInt32LE(request.length, 0);
    request.writeUInt16LE(CT_DELETE, 4);
    request.writeUInt16LE(NLM_F_REQUEST_ACK, 6);
    socket.send(request);
    const answer = Buffer.from(socket.receive());
    const errno = answer.readUInt16LE(4) === NLMSG_ERROR ? answer.readInt32LE(16) : Number.NaN;
    if (errno !== 0) throw new Error(`flows of ${netns} are not forgotten: errno ${-errno}`);
  } finally {
    socket.close();
  }
}
