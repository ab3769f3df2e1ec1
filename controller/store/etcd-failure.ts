/**
 * What may be concluded when a call to etcd fails, from what gRPC and etcd say. The one rule: whatever is not known for
 * certain counts as unanswered, that is, perhaps done. Pure.
 */
import { RpcError, type RpcFailure } from './etcd-rpc.ts';

/** What grpc-js says when a call was never given to a connection. */
const NEVER_SENT = [
  'No connection established',
  'Name resolution failed',
  'Channel closed before call started',
  'Channel has been shut down',
  'the client was already closed',
];

/** What etcd says when it turned a request away without carrying it out (etcd, api/v3rpc/rpctypes/error.go). */
const TURNED_AWAY = ['etcdserver: no leader', 'etcdserver: too many requests', 'etcdserver: not capable'];

/** @param error of grpc-js or etcd3; its message has the status in front, such as `14 UNAVAILABLE: …` */
export function toRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new RpcError(classify(message), message, { cause: error });
}

function classify(message: string): RpcFailure {
  const says = (text: string): boolean => message.includes(text);
  if (NEVER_SENT.some(says)) return 'not-sent';
  // The deadline passed before a connection was there; an earlier attempt may have had one.
  if (says('Waiting for LB pick') && !says('previous attempts')) return 'not-sent';
  if (says('requested lease not found')) return 'lease-gone';
  if (says('database space exceeded')) return 'no-space';
  if (says('required revision has been compacted')) return 'compacted';
  if (says('Received message larger than max')) return 'too-large';
  if (TURNED_AWAY.some(says)) return 'busy';
  return isRefusal(message) ? 'refused' : 'unanswered';
}

/** Status codes with which etcd judges the request itself. @see gRPC, doc/statuscodes.md */
function isRefusal(message: string): boolean {
  return /\b(3 INVALID_ARGUMENT|7 PERMISSION_DENIED|9 FAILED_PRECONDITION|12 UNIMPLEMENTED|16 UNAUTHENTICATED):/.test(
    message,
  );
}
