/**
 * What may be concluded when a call to etcd fails, from what gRPC and etcd say, and how it is told to people: slow, or away. The one
 * rule: whatever is not known for certain counts as perhaps done. Pure.
 */
import { RpcError, type RpcFailure } from './etcd-rpc.ts';

/** What grpc-js says when a call was never given to a connection. */
const NEVER_SENT = [
  'No connection established',
  'Name resolution failed',
  'waiting for name resolution',
  'Channel closed before call started',
  'Channel has been shut down',
  'the client was already closed',
];

/** What etcd says when it turned a request away without carrying it out (etcd, api/v3rpc/rpctypes/error.go). */
const TURNED_AWAY = ['etcdserver: no leader', 'etcdserver: too many requests', 'etcdserver: not capable'];

/** What gRPC says when the deadline passed, and etcd when its own did. */
const TOO_LATE = ['4 DEADLINE_EXCEEDED:', 'etcdserver: request timed out'];

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
  if (TOO_LATE.some(says)) return 'slow';
  return isRefusal(message) ? 'refused' : 'unanswered';
}

/** Status codes with which etcd judges the request itself. @see gRPC, doc/statuscodes.md */
function isRefusal(message: string): boolean {
  return /\b(3 INVALID_ARGUMENT|7 PERMISSION_DENIED|9 FAILED_PRECONDITION|12 UNIMPLEMENTED|16 UNAUTHENTICATED):/.test(
    message,
  );
}

/**
 * What happened at one endpoint, for people.
 * @param url the endpoint's
 * @param waitedMs from the call to its failure
 * @param known why there was no connection when gRPC last said so: while it pauses before it tries again it does not
 */
export function describeFailure(error: RpcError, url: string, waitedMs: number, known?: string): string {
  const { failure, message } = error;
  const waited = `${Math.round(waitedMs / 100) / 10} s`;
  switch (failure) {
    case 'slow':
      return `${url} did not answer within ${waited}`;
    case 'not-sent':
      if (message.includes('DEADLINE_EXCEEDED')) return `${url} let no connection come about within ${waited}`;
      return `${url}: ${connectionCause(error) ?? known ?? 'there is no connection'}`;
    case 'unanswered':
      return `${url}: the connection broke before the answer came`;
    default:
      // etcd's own words, without the status and the program's name that gRPC puts before them.
      return `${url}: ${withoutStatus(message).replace(/^etcdserver: /, '')}`;
  }
}

/** Such as `connect ECONNREFUSED 127.0.0.1:2379`, where gRPC names it. */
export function connectionCause({ message }: RpcError): string | undefined {
  const cause = /Last error: (?:Error: )?(?<cause>.+?)\. Resolution note/.exec(message)?.groups?.cause;
  return cause === 'null' ? undefined : cause;
}

function withoutStatus(message: string): string {
  return message.replace(/^\d+ [A-Z_]+: /, '');
}
