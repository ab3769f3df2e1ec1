/** What people are told of a call to etcd that failed: what became of it, and nothing of how it was carried. */
import { expect, test } from 'vitest';
import { describeFailure, toRpcError } from '../../../controller/store/etcd-failure.ts';

test.each([
  ['14 UNAVAILABLE: Connection dropped', 'http://e:1: the connection broke before the answer came'],
  [
    '13 INTERNAL: Received RST_STREAM with code 2 (Internal server error)',
    'http://e:1: the connection broke before the answer came',
  ],
  [
    '14 UNAVAILABLE: No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ',
    'http://e:1: connect ECONNREFUSED 127.0.0.1:1',
  ],
  [
    '14 UNAVAILABLE: No connection established. Last error: null. Resolution note: ',
    'http://e:1: there is no connection',
  ],
  ['14 UNAVAILABLE: etcdserver: no leader', 'http://e:1: no leader'],
  ['8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded', 'http://e:1: mvcc: database space exceeded'],
  ['7 PERMISSION_DENIED: etcdserver: permission denied', 'http://e:1: permission denied'],
  ['4 DEADLINE_EXCEEDED: Deadline exceeded after 5.001s', 'http://e:1 did not answer within 5 s'],
])('%s', (said, told) => {
  expect(describeFailure(toRpcError(new Error(said)), 'http://e:1', 5_000)).toBe(told);
});
