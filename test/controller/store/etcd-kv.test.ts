/** Lists over an etcd that is made up: answers too large to take, history compacted while reading. */
import { expect, test } from 'vitest';
import { Unavailable } from '../../../controller/errors.ts';
import { EtcdKv } from '../../../controller/store/etcd-kv.ts';
import {
  type EtcdRpc,
  type RangeRequest,
  type RangeResponse,
  RpcError,
  type RpcFailure,
} from '../../../controller/store/etcd-rpc.ts';

const KEYS = Array.from({ length: 300 }, (_, i) => `/p/k/${String(i).padStart(4, '0')}`);

/** @param answer may throw instead of answering a request, given with its number */
function kvOver(answer: (request: RangeRequest, count: number) => RpcFailure | undefined): EtcdKv {
  let count = 0;
  const range = async (request: RangeRequest): Promise<RangeResponse> => {
    const failure = answer(request, ++count);
    if (failure) throw new RpcError(failure, 'made up');
    const from = request.key.toString();
    const found = KEYS.filter((key) => key >= from);
    const kvs = found.slice(0, request.limit).map((key) => {
      return { key: Buffer.from(key), value: Buffer.from('v'), create_revision: '7', mod_revision: '7' };
    });
    return { header: { revision: String(100 + count), cluster_id: '1' }, kvs, more: kvs.length < found.length };
  };
  return new EtcdKv({ range } as unknown as EtcdRpc, '/p/');
}

test('pages shrink until their values fit, and all are of the first answer’s revision', async () => {
  const revisions: unknown[] = [];
  const kv = kvOver(({ limit = 0, revision }) => {
    if (limit > 20) return 'too-large';
    revisions.push(revision);
    return undefined;
  });
  const { entries, revision } = await kv.list('k/');
  expect(entries.map(({ key }) => `/p/${key}`)).toEqual(KEYS);
  expect(new Set(revisions)).toEqual(new Set([0, revision]));
  expect(revisions.filter((asked) => asked === 0)).toHaveLength(1);
});

test('one value too large for any message is an error, not a loop', async () => {
  await expect(kvOver(() => 'too-large').list('k/')).rejects.toThrow(Unavailable);
});

test('a list whose revision is compacted while it is read starts over, not for ever', async () => {
  const once = kvOver(({ limit = 0 }, count) => (limit > 100 ? 'too-large' : count === 5 ? 'compacted' : undefined));
  expect((await once.list('k/')).entries).toHaveLength(300);
  await expect(kvOver(() => 'compacted').list('k/')).rejects.toThrow(Unavailable);
});
