/** Requests, batches and dumps against a scripted kernel: every answer is read, every refusal named, nothing waits for ever. */
import { describe, expect, it } from 'vitest';
import { ERRNO, KernelError } from '../../../dataplane/errors.ts';
import { ByteWriter } from '../../../dataplane/netlink/bytes.ts';
import { NetlinkConnection } from '../../../dataplane/netlink/connection.ts';
import { type NetlinkMessage, NLM_F_ACK, NLM_F_DUMP, writeMessage } from '../../../dataplane/netlink/message.ts';
import { type Answer, ack, done, reply, ScriptedTransport } from './scripted-transport.ts';

const NLM_F_MULTI = 2;
const NLM_F_DUMP_INTR = 0x10;

/** `count` messages that say nothing, of types 100, 101, … */
function messages(count: number, flags = NLM_F_ACK): Uint8Array {
  const out = new ByteWriter();
  for (let index = 0; index < count; index++) writeMessage(out, 100 + (index % 1000), flags, () => out.u32(index));
  return out.finish();
}

/** A batch: the last message alone wants an acknowledgement. */
function batchOf(count: number): Uint8Array {
  const out = new ByteWriter();
  for (let index = 0; index < count; index++) {
    writeMessage(out, 100 + index, index === count - 1 ? NLM_F_ACK : 0, () => undefined);
  }
  return out.finish();
}

const named = (index: number) => ({ op: 'SET', object: `thing ${index}` });

function connect(kernel: (messages: readonly NetlinkMessage[], sends: number) => readonly Answer[]) {
  const transport = new ScriptedTransport(kernel);
  return { transport, connection: new NetlinkConnection(transport) };
}

function errorOf(work: () => unknown): KernelError {
  try {
    work();
  } catch (error) {
    if (error instanceof KernelError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const at = <T>(list: readonly T[], index: number): T => {
  const found = list.at(index);
  if (found === undefined) throw new RangeError(`no element ${index}`);
  return found;
};

describe('a request', () => {
  it('sends several messages at once and reads an acknowledgement of each', () => {
    const { transport, connection } = connect((sent) => sent.map((message) => ack(message)));
    expect(connection.requestEach(messages(3), named)).toEqual(new Map());
    expect(transport.sent.map((sent) => sent.length)).toEqual([3]);
    expect(transport.unread).toBe(0);
  });

  it('numbers messages on and on, so that late answers to earlier ones are not taken for its own', () => {
    const old: NetlinkMessage[] = [];
    const { connection } = connect((sent) => {
      old.push(...sent);
      return [...old.map((message) => ack(message, message === old[0] && old.length > 1 ? ERRNO.EPERM : 0))];
    });
    connection.request(messages(1), named);
    expect(connection.requestEach(messages(2), named).size).toBe(0);
  });

  it('reports each refusal under its own name, with what the kernel said of it, and goes on reading', () => {
    const { transport, connection } = connect((sent) =>
      sent.map((message, index) =>
        index === 1 ? ack(message, ERRNO.EEXIST, { extack: 'File exists already', offset: 20 }) : ack(message),
      ),
    );
    const errors = connection.requestEach(messages(3), named);
    expect([...errors.keys()]).toEqual([1]);
    expect(errors.get(1)).toMatchObject({
      op: 'SET',
      object: 'thing 1',
      errno: ERRNO.EEXIST,
      extack: 'File exists already',
      offset: 20,
    });
    expect(transport.unread).toBe(0);
  });

  it('throws the first refusal only after it has read all answers', () => {
    const { transport, connection } = connect((sent) =>
      sent.map((message, index) => ack(message, index > 0 ? ERRNO.ENOENT : 0)),
    );
    expect(errorOf(() => connection.request(messages(4), named)).object).toBe('thing 1');
    expect(transport.unread).toBe(0);
  });

  it('tells ENOBUFS when answers were lost, having read those that were not', () => {
    const { transport, connection } = connect((sent) => [ack(at(sent, 0)), { errno: ERRNO.ENOBUFS }, ack(at(sent, 2))]);
    expect(errorOf(() => connection.requestEach(messages(3), named)).errno).toBe(ERRNO.ENOBUFS);
    expect(transport.unread).toBe(0);
  });

  it('does not mind ENOBUFS when nothing of its own was lost', () => {
    const { connection } = connect((sent) => [{ errno: ERRNO.ENOBUFS }, ...sent.map((message) => ack(message))]);
    expect(connection.requestEach(messages(3), named).size).toBe(0);
  });

  it('does not wait for a kernel that says nothing', () => {
    const { connection } = connect(() => []);
    expect(errorOf(() => connection.request(messages(1), named)).errno).toBe(ERRNO.ENOBUFS);
  });

  it('cuts what is too much for one receive buffer, and counts on', () => {
    const { transport, connection } = connect((sent, sends) =>
      sent.map((message, index) => ack(message, sends === 1 && index === 4 ? ERRNO.EINVAL : 0)),
    );
    const errors = connection.requestEach(messages(10_000), named);
    expect(transport.sent.reduce((sum, sent) => sum + sent.length, 0)).toBe(10_000);
    expect(transport.sent.length).toBeGreaterThan(1);
    expect([...errors.keys()]).toEqual([at(transport.sent, 0).length + 4]);
  });

  it('goes on when sequence numbers begin anew', () => {
    const transport = new ScriptedTransport((sent) => sent.map((message, index) => ack(message, index === 2 ? 1 : 0)));
    const connection = new NetlinkConnection(transport, 2 ** 32 - 2);
    expect([...connection.requestEach(messages(4), named).keys()]).toEqual([2]);
    expect(at(transport.sent, 0).map(({ sequence }) => sequence)).toEqual([2 ** 32 - 2, 2 ** 32 - 1, 0, 1]);
    expect([...connection.requestEach(messages(4), named).keys()]).toEqual([2]);
  });

  it('can leave the thread free while the kernel works', async () => {
    const { transport, connection } = connect((sent) => sent.map((message) => ack(message, ERRNO.ENODEV)));
    const answered = connection.requestEachAsync(messages(1), named);
    expect(transport.sent).toEqual([]);
    expect((await answered).get(0)?.errno).toBe(ERRNO.ENODEV);
  });
});

describe('a request for one object', () => {
  it('returns the answer, which outlives the receive buffer', () => {
    const shared = new ByteWriter();
    const { connection } = connect((sent) => {
      shared.truncate(0);
      return [shared.bytes(reply(at(sent, 0), 7, Uint8Array.of(1, 2, 3, 4))).finish()];
    });
    const first = connection.get(messages(1, 0), named);
    connection.get(messages(1, 0), named);
    expect([first.type, ...first.payload]).toEqual([7, 1, 2, 3, 4]);
  });

  it('throws what was refused, and does not wait for what never comes', () => {
    const refusing = connect((sent) => [ack(at(sent, 0), ERRNO.ENODEV)]);
    expect(errorOf(() => refusing.connection.get(messages(1, 0), named)).errno).toBe(ERRNO.ENODEV);
    const silent = connect((sent) => [ack(at(sent, 0))]);
    expect(errorOf(() => silent.connection.get(messages(1, 0), named)).errno).toBe(ERRNO.ENOBUFS);
  });
});

describe('a batch', () => {
  it('is committed when its last message is acknowledged', () => {
    const { transport, connection } = connect((sent) => [ack(at(sent, -1))]);
    connection.batch(batchOf(4), named);
    expect(transport.unread).toBe(0);
  });

  it('fails with the FIRST message refused, whatever comes after', () => {
    const { transport, connection } = connect((sent) => [
      ack(at(sent, 2), ERRNO.ENOENT, { offset: 36 }),
      ack(at(sent, 1), ERRNO.EEXIST),
    ]);
    const error = errorOf(() => connection.batch(batchOf(4), named));
    expect(error).toMatchObject({ object: 'thing 2', errno: ERRNO.ENOENT, offset: 36 });
    expect(transport.unread).toBe(0);
  });

  it('lets the name depend on the attribute that was refused', () => {
    const { connection } = connect((sent) => [ack(at(sent, 1), ERRNO.EEXIST, { offset: 40 })]);
    const error = errorOf(() =>
      connection.batch(batchOf(3), (index, offset) => ({ op: 'ADD', object: `element ${index} at ${offset}` })),
    );
    expect(error.object).toBe('element 1 at 40');
  });

  it('passes a stale generation on as ERESTART', () => {
    const { connection } = connect((sent) => [ack(at(sent, 0), ERRNO.ERESTART)]);
    expect(errorOf(() => connection.batch(batchOf(3), named))).toMatchObject({ errno: 85, object: 'thing 0' });
  });

  it('is not believed when other messages alone are acknowledged', () => {
    const { connection } = connect((sent, sends) => [ack(at(sent, sends === 0 ? -1 : 1))]);
    connection.batch(batchOf(3), named);
    expect(errorOf(() => connection.batch(batchOf(3), named)).errno).toBe(ERRNO.ENOBUFS);
  });

  it('is done in silence by a kernel that never acknowledges ends (before Linux 6.10)', () => {
    const { connection } = connect((sent, sends) => (sends === 1 ? [ack(at(sent, 1), ERRNO.EEXIST)] : []));
    connection.batch(batchOf(3), named);
    expect(errorOf(() => connection.batch(batchOf(3), named)).errno).toBe(ERRNO.EEXIST);
    connection.batch(batchOf(3), named);
  });

  it('is in doubt when answers were lost, and is not when the end was acknowledged all the same', () => {
    const lost = connect(() => [{ errno: ERRNO.ENOBUFS }]);
    expect(errorOf(() => lost.connection.batch(batchOf(3), named)).errno).toBe(ERRNO.ENOBUFS);
    const committed = connect((sent) => [{ errno: ERRNO.ENOBUFS }, ack(at(sent, -1))]);
    committed.connection.batch(batchOf(3), named);
    const refused = connect((sent) => [{ errno: ERRNO.ENOBUFS }, ack(at(sent, 1), ERRNO.EPERM)]);
    expect(errorOf(() => refused.connection.batch(batchOf(3), named)).errno).toBe(ERRNO.EPERM);
  });
});

describe('a dump', () => {
  const item = (to: NetlinkMessage, value: number, flags = 0) =>
    reply(to, 50, Uint8Array.of(value, 0, 0, 0), NLM_F_MULTI | flags);
  const values = (found: readonly NetlinkMessage[]) => found.map(({ payload }) => payload[0]);
  const request = () => messages(1, NLM_F_DUMP);

  it('collects messages of all datagrams up to the end', () => {
    const { connection } = connect(([asked]) => {
      const to = at([asked], 0) as NetlinkMessage;
      const two = new ByteWriter().bytes(item(to, 1)).bytes(item(to, 2)).finish();
      return [two, item(to, 3), done(to)];
    });
    expect(values(connection.dump(request(), named))).toEqual([1, 2, 3]);
  });

  it('is asked for again when it was changed under way', () => {
    const { transport, connection } = connect((sent, sends) => {
      const to = at(sent, 0);
      return sends < 2 ? [item(to, 1, NLM_F_DUMP_INTR), item(to, 2), done(to)] : [item(to, 3), done(to)];
    });
    expect(values(connection.dump(request(), named))).toEqual([3]);
    expect(transport.sent.length).toBe(3);
  });

  it('is asked for again when the end says so', () => {
    const { connection } = connect((sent, sends) => [
      item(at(sent, 0), sends),
      done(at(sent, 0), 0, sends === 0 ? NLM_F_DUMP_INTR : 0),
    ]);
    expect(values(connection.dump(request(), named))).toEqual([1]);
  });

  it('gives up, with EINTR, when it never stands still', () => {
    const { transport, connection } = connect((sent) => [item(at(sent, 0), 1, NLM_F_DUMP_INTR), done(at(sent, 0))]);
    expect(errorOf(() => connection.dump(request(), named))).toMatchObject({ errno: ERRNO.EINTR, object: 'thing 0' });
    expect(transport.sent.length).toBeLessThan(100);
  });

  it('that was given up is read to its end before another is asked for', () => {
    const { connection } = connect((sent, sends) => {
      const to = at(sent, 0);
      if (sends === 0) return [{ errno: ERRNO.ENOBUFS }, item(to, 1), done(to)];
      return sends === 1 ? [ack(to, ERRNO.EBUSY)] : [item(to, 9), done(to)];
    });
    expect(errorOf(() => connection.dump(request(), named)).errno).toBe(ERRNO.ENOBUFS);
    expect(values(connection.dump(request(), named))).toEqual([9]);
  });

  it('fails with the error it ends in, even half-way', () => {
    const { connection } = connect((sent) => [item(at(sent, 0), 1), done(at(sent, 0), ERRNO.ENOENT)]);
    expect(errorOf(() => connection.dump(request(), named))).toMatchObject({ op: 'SET', errno: ERRNO.ENOENT });
  });

  it('that is refused outright says why', () => {
    const { connection } = connect((sent) => [ack(at(sent, 0), ERRNO.EINVAL, { extack: 'Invalid header' })]);
    expect(errorOf(() => connection.dump(request(), named)).message).toContain('Invalid header');
  });

  it('can leave the thread free while the kernel searches', async () => {
    const { connection } = connect((sent, sends) => [
      item(at(sent, 0), sends, sends ? 0 : NLM_F_DUMP_INTR),
      done(at(sent, 0)),
    ]);
    expect(values(await connection.dumpAsync(request(), named))).toEqual([1]);
  });
});

it('closing the connection closes the transport', () => {
  const { transport, connection } = connect(() => []);
  connection.close();
  expect(transport.closed).toBe(true);
});
