/**
 * A container's life as bad runtimes and bad luck make it: ADD killed half-way, the agent killed under it, everything asked twice, the
 * namespace gone before DEL. Nothing remains, no address is lost, and CHECK names what is wrong.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Attachment, type Container, cniAdd, cniCheck, cniDel } from '../lab/container.ts';
import { removeNamespaces, run } from '../lab/fabric.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { endpointsOf, makeTenant, type TenantView, untilListed, untilNothingLeft } from './support/cluster.ts';
import { callPlugin, insideContainer, makeAttachment } from './support/plugin.ts';

const BLOCK_SIZE = 32;

let lab: Lab;
/** of one block, so that one address lost shows */
let tenant: TenantView;
beforeAll(async () => {
  lab = await startLab({ nodes: 1 });
  tenant = await makeTenant(lab, 'red', { subnetPrefixLength: 27 });
});
afterAll(() => lab?.close());

function attachment(): Attachment {
  const made = makeAttachment(lab, 'node1', 'red');
  onTestFinished(async () => {
    await cniDel({ ...made, host: lab.host('node1') }).catch(() => undefined);
    await removeNamespaces([made.netns]);
  });
  return made;
}

const attachments = (count: number): Attachment[] => Array.from({ length: count }, attachment);

async function expectWholeBlockFree(): Promise<void> {
  await untilNothingLeft(lab, tenant);
  const all = await Promise.all(Array.from({ length: BLOCK_SIZE }, () => lab.attach('node1', { tenant: 'red' })));
  expect(new Set(all.map(({ ip }) => ip)).size).toBe(BLOCK_SIZE);
  await Promise.all(all.map((each) => lab.detach(each)));
  await untilNothingLeft(lab, tenant);
}

const STEPS = 40;

describe('what is cut short leaves nothing', () => {
  test('the CNI binary is killed at any moment of ADD, then DEL', async () => {
    // The second: the first pays for what is done once.
    await cniDel(await cniAdd(attachment()));
    const second = attachment();
    const started = performance.now();
    expect(await callPlugin(second, { verb: 'ADD' })).toMatchObject({ exitCode: 0 });
    const wholeMs = performance.now() - started;
    await cniDel(second);
    // In steps up to twice the time: before, amid and after the agent's work, wherever that falls.
    for (let index = 0; index < STEPS; index++) {
      const each = attachment();
      await callPlugin(each, { verb: 'ADD', killAfterMs: (2 * wholeMs * index) / STEPS });
      await cniDel(each);
    }
    await untilNothingLeft(lab, tenant);
  });

  test('the CNI binary is killed while the agent has its ADD, then DEL', async () => {
    const gaveUp = () => lab.logs('node1').split('the runtime gave up waiting').length;
    const before = gaveUp();
    // The agent stands still until the binary, which may not have asked yet, is dead.
    for (let tries = 0; gaveUp() === before && tries < 50; tries++) {
      const each = attachment();
      await lab.killAgent('node1', 'SIGSTOP');
      const { exitCode } = await callPlugin(each, { verb: 'ADD', killAfterMs: 10 * (tries + 1) });
      await lab.killAgent('node1', 'SIGCONT');
      expect(exitCode).toBeUndefined();
      await cniDel(each);
    }
    expect(gaveUp()).toBeGreaterThan(before);
    await untilNothingLeft(lab, tenant);
  });

  test('many ADDs at once are killed, and their DELs come at once', async () => {
    const tries = attachments(20);
    await Promise.all(
      tries.map(async (each, index) => {
        await callPlugin(each, { verb: 'ADD', killAfterMs: 20 * index });
        await cniDel(each);
      }),
    );
    // Of all three: no restart has tidied up since.
    await expectWholeBlockFree();
  });

  test.each([0, 1, 2])('the agent is killed under ADDs, then DEL (round %i)', async (round) => {
    const tries = attachments(16);
    const adding = tries.map((each) => callPlugin(each, { verb: 'ADD' }));
    // After the first, the third, the sixth has its answer, the others are anywhere.
    const answered = Promise.all(adding.slice(0, [1, 3, 6][round]));
    await answered;
    await lab.killAgent('node1', 'SIGKILL');
    const answers = await Promise.all(adding);
    for (const { exitCode, body } of answers) {
      if (exitCode !== 0) expect(body).toMatchObject({ code: 11 });
    }
    await lab.startAgent('node1');
    const attached = tries.filter((_, index) => answers[index]?.exitCode === 0);
    // One more may be there: made, remembered, and the agent died before it could say so.
    const missing = async () => {
      const listed = (await endpointsOf(lab, 'red')).map(({ containerId }) => containerId);
      return attached.filter(({ id }) => !listed.includes(id));
    };
    await waitFor(async () => (await missing()).length === 0, { what: 'REST lists all that ADD promised' });
    for (const each of attached) expect(await callPlugin(each, { verb: 'CHECK' })).toMatchObject({ exitCode: 0 });
    await Promise.all(tries.map((each) => cniDel(each)));
    await expectWholeBlockFree();
  });
});

describe('asked twice', () => {
  test('the same ADD gives the same answer, also after the agent’s restart', async () => {
    const container = await cniAdd(attachment());
    expect((await cniAdd(container)).result).toEqual(container.result);
    await lab.killAgent('node1', 'SIGKILL');
    await lab.startAgent('node1');
    expect((await cniAdd(container)).result).toEqual(container.result);
    expect(await endpointsOf(lab, 'red')).toHaveLength(1);
  });

  test('DEL succeeds again and again, and for what was never added', async () => {
    const container = await cniAdd(attachment());
    await cniDel(container, container.result);
    await cniDel(container, container.result);
    await cniDel(attachment());
    await untilNothingLeft(lab, tenant);
  });

  test('DEL when the namespace is gone, without CNI_NETNS and prevResult', async () => {
    const container = await cniAdd(attachment());
    await removeNamespaces([container.netns]);
    expect(await callPlugin(container, { verb: 'DEL', netnsPath: '' })).toMatchObject({ exitCode: 0 });
    await untilNothingLeft(lab, tenant);
  });

  test('the same container in a new namespace gets a working interface', async () => {
    const container = await cniAdd(attachment());
    const { netns } = attachment();
    await removeNamespaces([container.netns]);
    const again = await cniAdd({ ...container, netns });
    await cniCheck(again);
    expect(await endpointsOf(lab, 'red')).toHaveLength(1);
    await cniDel(again);
  });
});

describe('CNI_NETNS', () => {
  test('that names anything but a network namespace is refused by name, and the agent serves others meanwhile', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tenet-lifecycle-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const fifo = join(folder, 'fifo');
    await run(['mkfifo', fifo]);
    const refused = [fifo, folder, '/dev/null', '/proc/self/ns/mnt', join(folder, 'missing')];
    const wrong = attachment();
    const others = attachments(4);
    // CHECK too: an agent that waits in any of them answers none of the others.
    const calls = refused.map((path) => callPlugin(wrong, { verb: 'ADD', netnsPath: path }));
    const attached = await Promise.all(others.map((each) => cniAdd(each)));
    for (const { body } of await Promise.all(calls)) expect(body).toMatchObject({ code: 4, msg: 'CNI_NETNS is wrong' });
    for (const [index, container] of attached.entries()) {
      const netns = refused[index] ?? fifo;
      expect((await callPlugin(container, { verb: 'CHECK', netnsPath: netns })).body).toMatchObject({ code: 11 });
      await cniCheck(container);
      expect(await callPlugin(container, { verb: 'DEL', netnsPath: netns })).toMatchObject({ exitCode: 0 });
    }
    await untilNothingLeft(lab, tenant);
  });
});

describe('CHECK', () => {
  test('is content with what ADD made', async () => {
    await cniCheck(await cniAdd(attachment()));
  });

  const damages: Readonly<Record<string, readonly [(c: Container) => Promise<unknown>, named: RegExp]>> = {
    'the interface is down': [(c) => insideContainer(c, 'link set eth0 down'), /interface is down/],
    'the address is gone': [(c) => insideContainer(c, `address del ${c.ip}/32 dev eth0`), /address .* is missing/],
    'the default route is gone': [(c) => insideContainer(c, 'route del default'), /default route is missing/],
    'the gateway’s neighbour entry is gone': [
      (c) => insideContainer(c, 'neighbour del 169.254.1.1 dev eth0'),
      /gateway/,
    ],
    'the MAC is another': [(c) => insideContainer(c, 'link set eth0 address 02:00:00:00:00:09'), /MAC is 02:00/],
    'the interface has another name': [
      (c) => insideContainer(c, 'link set eth0 down', 'link set eth0 name eth9'),
      /interface is missing/,
    ],
    'the interface is gone': [(c) => insideContainer(c, 'link del eth0'), /host link tnp[0-9a-f]{12} is missing/],
    'the namespace is gone': [(c) => removeNamespaces([c.netns]), /missing/],
  };
  test.each(Object.keys(damages))('names what is wrong: %s', async (what) => {
    const container = await cniAdd(attachment());
    const [damage, named] = damages[what] ?? [];
    await damage?.(container);
    await expect(cniCheck(container)).rejects.toThrow(named);
    await cniDel(container);
    await untilNothingLeft(lab, tenant);
  });

  test('knows no container that was never added, and no other’s address', async () => {
    const container = await cniAdd(attachment());
    const unknown = await callPlugin(attachment(), { verb: 'CHECK', prevResult: container.result });
    expect(unknown.body).toMatchObject({ code: 3 });
    const ips = [{ address: '10.0.0.9/32' }];
    const foreign = await callPlugin(container, { verb: 'CHECK', prevResult: { ...container.result, ips } });
    expect(foreign.body?.details).toContain('10.0.0.9');
  });
});

describe('verbs about the node', () => {
  const newest = { cniVersion: '1.1.0' };

  test('STATUS says whether an ADD would be served', async () => {
    const any = attachment();
    expect(await callPlugin(any, { verb: 'STATUS', config: newest })).toMatchObject({ exitCode: 0 });
    await lab.killAgent('node1');
    expect((await callPlugin(any, { verb: 'STATUS', config: newest })).body).toMatchObject({ code: 50 });
    await lab.startAgent('node1');
    expect(await callPlugin(any, { verb: 'STATUS', config: newest })).toMatchObject({ exitCode: 0 });
  });

  test('VERSION needs no agent', async () => {
    await lab.killAgent('node1');
    const { exitCode, body } = await callPlugin(attachment(), { verb: 'VERSION' });
    await lab.startAgent('node1');
    expect(exitCode).toBe(0);
    expect(body).toMatchObject({ supportedVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] });
  });

  test('GC detaches exactly what is not listed; without a list nothing, with none all', async () => {
    const containers = await Promise.all(attachments(4).map(cniAdd));
    const [first, second] = containers;
    if (first === undefined || second === undefined) throw new Error('no containers');
    const gc = async (extra: object) => {
      const answer = await callPlugin(first, { verb: 'GC', config: { ...newest, ...extra } });
      expect(answer, JSON.stringify(answer.body)).toMatchObject({ exitCode: 0 });
    };
    await gc({});
    await untilListed(lab, 'red', containers);
    const valid = [first, second].map(({ id, ifname }) => ({ containerID: id, ifname }));
    await gc({ 'cni.dev/valid-attachments': valid });
    await untilListed(lab, 'red', [first, second]);
    await cniCheck(first);
    await gc({ 'cni.dev/valid-attachments': null });
    await untilNothingLeft(lab, tenant);
  });
});
