/** Ending flows: exactly those of an address, in either direction, both families, every zone. */
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseIp } from '../../dataplane/address.ts';
import { Conntrack } from '../../dataplane/codecs/conntrack/conntrack.ts';
import { NetlinkConnection } from '../../dataplane/netlink/connection.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../dataplane/system/netlink-socket.ts';
import { assertOwn, enterOwnNamespace, run } from './namespace.ts';

const POD = parseIp('10.129.0.5');
const POD6 = parseIp('fd00::5');

let connection: NetlinkConnection;
let conntrack: Conntrack;

beforeAll(() => {
  enterOwnNamespace();
  connection = new NetlinkConnection(new NetlinkSocket(NETLINK_NETFILTER));
  conntrack = new Conntrack(connection);
});
afterAll(() => conntrack?.close());

beforeEach(() => {
  assertOwn();
  run('conntrack', ['-F']);
});

/** A tracked flow that never was: `-I` tells the kernel of it. */
function flow(source: string, destination: string, port: number, ...more: string[]): void {
  assertOwn();
  const ends = ['-s', source, '-d', destination, '--sport', String(port), '--dport', '53'];
  run('conntrack', ['-I', '-p', 'udp', ...ends, '-t', '300', ...more]);
}

/** Source ports, by which the flows of a test are told apart. */
function ports(): number[] {
  const lists = ['ipv4', 'ipv6'].map((family) => run('conntrack', ['-L', '-f', family]));
  return [...lists.join('').matchAll(/^udp .*?sport=(\d+)/gm)].map((match) => Number(match[1])).sort((a, b) => a - b);
}

function addAll(): void {
  flow(POD, '10.129.0.6', 1001);
  flow('10.129.0.6', POD, 1002);
  flow(POD, '203.0.113.9', 1003, '--src-nat', '192.0.2.1');
  flow('203.0.113.9', '192.0.2.1', 1004, '--dst-nat', POD);
  flow(POD6, 'fd00::6', 1005);
  flow('fd00::6', POD6, 1006);
  flow('10.129.0.6', '10.129.0.7', 1007);
  flow('10.129.0.50', '10.129.0.55', 1008);
  flow('fd00::50', 'fd00::55', 1009);
  flow('10.129.0.6', '10.129.0.5', 1010, '--zone', '7');
}

describe('entriesOf', () => {
  it('finds the flows that an address began and those it answers, whatever was translated', async () => {
    addAll();
    const entries = await conntrack.entriesOf(POD);
    expect(
      entries.map(({ original, reply }) => `${original.source} ${original.destination} ${reply.source}`).sort(),
    ).toEqual(
      [
        `10.129.0.5 10.129.0.6 10.129.0.6`,
        `10.129.0.5 203.0.113.9 203.0.113.9`,
        `10.129.0.6 10.129.0.5 10.129.0.5`,
        `10.129.0.6 10.129.0.5 10.129.0.5`,
        `203.0.113.9 192.0.2.1 10.129.0.5`,
      ].sort(),
    );
    expect((await conntrack.entriesOf(POD6)).map(({ family }) => family)).toEqual([6, 6]);
  });

  it('finds nothing where there is nothing', async () => {
    expect(await conntrack.entriesOf(POD)).toEqual([]);
    flow('10.129.0.6', '10.129.0.7', 1);
    expect(await conntrack.entriesOf(POD)).toEqual([]);
  });

  it('finds a flow of an address with itself once', async () => {
    flow(POD, POD, 1);
    expect(await conntrack.entriesOf(POD)).toHaveLength(1);
  });
});

describe('forget', () => {
  it('ends exactly the flows of the address', async () => {
    addAll();
    await conntrack.forget([POD]);
    expect(ports()).toEqual([1005, 1006, 1007, 1008, 1009]);
    await conntrack.forget([POD]);
    expect(ports()).toEqual([1005, 1006, 1007, 1008, 1009]);
  });

  it('ends those of several addresses of both families', async () => {
    addAll();
    await conntrack.forget([POD, POD6]);
    expect(ports()).toEqual([1007, 1008, 1009]);
  });

  it('does nothing for no address, and for one without flows', async () => {
    addAll();
    await conntrack.forget([]);
    await conntrack.forget([parseIp('10.129.0.99')]);
    expect(ports()).toHaveLength(10);
  });

  /** So many flows of the pod, with one each of as many addresses. */
  function addMany(count: number): void {
    const flows = Array.from({ length: count }, (_, i) => {
      const ends = `-s ${POD} -d 10.${130 + (i >> 16)}.${(i >> 8) & 255}.${i & 255} --sport 9 --dport 53`;
      return `-I -p udp ${ends} -t 300`;
    });
    assertOwn();
    const file = join(tmpdir(), `tenet-test-${process.pid}`);
    writeFileSync(file, `${flows.join('\n')}\n`);
    run('conntrack', ['-R', file]);
    rmSync(file);
  }

  it('ends tens of thousands by two messages, or by some hundred in each turn of the event loop', async () => {
    addMany(60_000);
    flow('10.129.0.6', '10.129.0.7', 1);
    const before = connection.messagesSent;
    let turns = 0;
    const turning = setInterval(() => turns++, 0);
    await conntrack.forget([POD]);
    clearInterval(turning);
    const sent = connection.messagesSent - before;
    expect(ports()).toEqual([1]);
    // An older kernel ends flows one by one.
    if (sent > 2) expect(turns).toBeGreaterThan(60_000 / 512);
    else expect(sent).toBe(2);
  });

  it('ends thousands, asked twice at once', async () => {
    addMany(3000);
    flow('10.129.0.6', '10.129.0.7', 1);
    await Promise.all([conntrack.forget([POD]), conntrack.forget([POD])]);
    expect(ports()).toEqual([1]);
  });
});
