/** Which endpoint is asked, how long and who is next, with made-up members and a made-up clock. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { EtcdEndpoints } from '../../../controller/store/etcd-endpoints.ts';

const TIMEOUT_MS = 5000;
const REFUSAL =
  '14 UNAVAILABLE: No connection established. Last error: Error: connect ECONNREFUSED 192.0.2.1:2379. Resolution note: ';
const LATE = '4 DEADLINE_EXCEEDED: Deadline exceeded after 5.000s,LB pick: 0.001s,remote_addr=192.0.2.1:2379';
const UNCONNECTED = '4 DEADLINE_EXCEEDED: Deadline exceeded after 5.000s,Waiting for LB pick';

/** What a member does with each call: answers after so many milliseconds, never, lets no connection come about, refuses it. */
type Behaviour = number | 'silent' | 'unconnected' | 'refuses';

/** Members `a`, `b`, …, asked in this order, and what each was asked. */
class Members {
  readonly behaviours: Behaviour[];
  readonly endpoints: EtcdEndpoints;
  readonly asked: string[] = [];

  constructor(...behaviours: Behaviour[]) {
    this.behaviours = behaviours;
    const urls = behaviours.map((_, i) => `http://${this.#name(i)}:2379`);
    this.endpoints = new EtcdEndpoints(urls, TIMEOUT_MS, this.#asker('probe'));
  }

  read(timeoutMs?: number): Promise<string> {
    return this.endpoints.ask({ ask: this.#asker('read'), repeatable: true, timeoutMs });
  }

  write(): Promise<string> {
    return this.endpoints.ask({ ask: this.#asker('write'), repeatable: false });
  }

  #name(endpoint: number): string {
    return String.fromCharCode('a'.charCodeAt(0) + endpoint);
  }

  #asker(what: string) {
    return (endpoint: number, timeoutMs: number): Promise<string> => {
      this.asked.push(`${what} ${this.#name(endpoint)}`);
      const behaviour = this.behaviours[endpoint];
      return new Promise((resolve, reject) => {
        if (behaviour === 'refuses') return reject(new Error(REFUSAL));
        const late = behaviour === 'unconnected' ? UNCONNECTED : LATE;
        setTimeout(() => reject(new Error(late)), timeoutMs);
        if (typeof behaviour === 'number') setTimeout(() => resolve(this.#name(endpoint)), behaviour);
      });
    };
  }
}

/** How a call ended, and after how many milliseconds of the made-up clock. */
async function outcomeOf(call: Promise<string>): Promise<{ readonly ms: number; readonly said: string }> {
  const startedMs = performance.now();
  let outcome: { readonly ms: number; readonly said: string } | undefined;
  const end = (said: string): void => {
    outcome = { ms: Math.round(performance.now() - startedMs), said };
  };
  call.then(end, ({ failure, message }) => end(`${failure}: ${message}`));
  await vi.advanceTimersByTimeAsync(0);
  while (outcome === undefined) await vi.advanceTimersToNextTimerAsync();
  return outcome;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(0); // the first is asked first
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('of one endpoint', () => {
  test('an answer is waited for until the time is over, and told to be slow', async () => {
    expect(await outcomeOf(new Members(4_900).read())).toEqual({ ms: 4_900, said: 'a' });
    expect(await outcomeOf(new Members(4_900).write())).toEqual({ ms: 4_900, said: 'a' });
    const slow = { ms: 5_000, said: 'slow: http://a:2379 did not answer within 5 s' };
    expect(await outcomeOf(new Members('silent').read())).toEqual(slow);
    expect(await outcomeOf(new Members('silent').write())).toEqual(slow);
  });

  test('a call with less time of its own takes no more', async () => {
    const said = 'slow: http://a:2379 did not answer within 1 s';
    expect(await outcomeOf(new Members('silent').read(1_000))).toEqual({ ms: 1_000, said });
  });

  test('a refused connection fails at once, with its cause', async () => {
    const said = 'not-sent: http://a:2379: connect ECONNREFUSED 192.0.2.1:2379';
    expect(await outcomeOf(new Members('refuses').read())).toEqual({ ms: 0, said });
    expect(await outcomeOf(new Members('refuses').write())).toEqual({ ms: 0, said });
  });

  test('no connection in all the time is away, not slow', async () => {
    const said = 'not-sent: http://a:2379 let no connection come about within 5 s';
    expect(await outcomeOf(new Members('unconnected').write())).toEqual({ ms: 5_000, said });
  });

  test('after a call in vain others have a second, until something is answered or the time has passed again', async () => {
    const members = new Members('silent');
    expect((await outcomeOf(members.read())).ms).toBe(5_000);
    expect((await outcomeOf(members.read())).ms).toBe(1_000);
    expect((await outcomeOf(members.write())).ms).toBe(1_000);
    members.behaviours[0] = 900;
    expect(await outcomeOf(members.read())).toEqual({ ms: 900, said: 'a' });
    members.behaviours[0] = 4_000;
    expect(await outcomeOf(members.read())).toEqual({ ms: 4_000, said: 'a' });
    members.behaviours[0] = 'silent';
    expect((await outcomeOf(members.read())).ms).toBe(5_000);
    await vi.advanceTimersByTimeAsync(5_000);
    expect((await outcomeOf(members.read())).ms).toBe(5_000);
  });
});

describe('of several endpoints', () => {
  test.each<Behaviour>(['silent', 'unconnected'])('one that is %s is left after a second', async (behaviour) => {
    const members = new Members(behaviour, 10);
    expect(await outcomeOf(members.read())).toEqual({ ms: 1_010, said: 'b' });
    expect(await outcomeOf(members.read())).toEqual({ ms: 10, said: 'b' });
    expect(members.asked).toEqual(['read a', 'read b', 'read b']);
  });

  test('one that refuses is left at once', async () => {
    const members = new Members('refuses', 10);
    expect(await outcomeOf(members.read())).toEqual({ ms: 10, said: 'b' });
    expect(members.endpoints.current).toBe(1);
  });

  test('the first answer counts, also a late one of the first asked', async () => {
    expect(await outcomeOf(new Members(1_500, 'silent').read())).toEqual({ ms: 1_500, said: 'a' });
  });

  test('two that are silent cost two seconds', async () => {
    expect(await outcomeOf(new Members('silent', 'silent', 10).read())).toEqual({ ms: 2_010, said: 'c' });
  });

  test('a call of a second leaves in time for the next', async () => {
    expect(await outcomeOf(new Members('silent', 10).read(900))).toEqual({ ms: 310, said: 'b' });
  });

  test.each<Behaviour>(['silent', 'unconnected', 'refuses'])(
    'a write goes to one that answers, past one that is %s',
    async (behaviour) => {
      const members = new Members(behaviour, 10);
      expect((await outcomeOf(members.write())).said).toBe('b');
      expect(members.asked.filter((each) => each.startsWith('write'))).toEqual(['write b']);
    },
  );

  test('a write to one that has just answered asks nothing before', async () => {
    const members = new Members(10, 10);
    await outcomeOf(members.read());
    await outcomeOf(members.write());
    expect(members.asked).toEqual(['read a', 'write a']);
  });

  test('a write is not repeated elsewhere when its answer does not come, but what follows it goes there', async () => {
    const members = new Members(10, 10);
    await outcomeOf(members.read());
    members.behaviours[0] = 'silent';
    expect(await outcomeOf(members.write())).toEqual({
      ms: 5_000,
      said: 'slow: http://a:2379 did not answer within 5 s',
    });
    expect(members.asked).toEqual(['read a', 'write a']);
    expect(await outcomeOf(members.write())).toEqual({ ms: 20, said: 'b' });
  });

  test('while none answers no write is sent: it is certainly not done', async () => {
    const members = new Members('silent', 'silent');
    const { ms, said } = await outcomeOf(members.write());
    expect(ms).toBe(5_000);
    expect(said).toBe('withheld: http://a:2379 did not answer within 5 s');
    expect(members.asked).toEqual(['probe a', 'probe b']);
  });

  test('what came of each is told', async () => {
    const { said } = await outcomeOf(new Members('refuses', 'refuses').read());
    expect(said).toBe(
      'not-sent: http://a:2379: connect ECONNREFUSED 192.0.2.1:2379; http://b:2379: connect ECONNREFUSED 192.0.2.1:2379',
    );
  });
});
