/**
 * The lab itself: that it builds what it says, that its probes tell the truth, that it breaks and mends what it is told to, and that
 * nothing of it stays behind. What Tenet enforces is tested elsewhere.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CniFailure } from '../lab/container.ts';
import { attachAll, containerCells, createTenants, listenEverywhere, platformCells } from '../lab/demo-scene.ts';
import { listNamespaces, run } from '../lab/fabric.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { Flow } from '../lab/probe/flow.ts';
import { runMatrix } from '../lab/probe/matrix.ts';
import { BROADCAST, ETHERTYPE, ethernet, ipv4, PROTOCOL, udp } from '../lab/probe/packet.ts';
import { RawLink } from '../lab/probe/raw.ts';
import { findMarked } from '../lab/process.ts';
import { ROOT } from '../lab/services.ts';
import { takeDown } from '../lab/take-down.ts';

let lab: Lab;

beforeAll(async () => {
  lab = await startLab({ nodes: 2, gateways: 1, controllers: 2, plugin: 'binary' });
  const { status } = await lab.rest('POST', '/v1/tenants', { name: 'red', namespaces: ['shop'] });
  expect(status).toBe(201);
});

afterAll(() => lab?.close());

function leftovers(id: string) {
  return { namespaces: listNamespaces(id), processes: findMarked(id), dir: existsSync(`/run/tenet-lab/${id}`) };
}

const NOTHING = { namespaces: [], processes: [], dir: false };

describe('a lab', () => {
  test('describes itself in the form of the design', () => {
    const description = lab.describe();
    expect(Object.keys(description)).toEqual(['id', 'controllers', 'token', 'hosts', 'outside']);
    expect(description.hosts.map(({ name, roles }) => [name, ...roles])).toEqual([
      ['node1', 'compute'],
      ['node2', 'compute'],
      ['gw1', 'gateway'],
    ]);
    for (const { netns, agentSocket, cniBin, cniConf } of description.hosts)
      for (const path of [`/run/netns/${netns}`, agentSocket, cniBin, cniConf])
        expect(existsSync(path), path).toBe(true);
  });

  test('has every controller answer from the machine’s own loopback, to the token alone', async () => {
    for (const { name, url } of lab.controllers) {
      expect((await lab.rest('GET', '/v1/tenants/red', undefined, {}, name)).status).toBe(200);
      expect((await fetch(`${url}/v1/tenants/red`)).status).toBe(401);
    }
  });

  test('knows its nodes by REST', async () => {
    const names = await waitFor(
      async () => {
        const { body } = await lab.rest<{ items: { name: string }[] }>('GET', '/v1/nodes');
        return body.items.length === 3 && body.items.map(({ name }) => name).sort();
      },
      { what: 'three nodes are known' },
    );
    expect(names).toEqual(['gw1', 'node1', 'node2']);
  });
});

describe('containers', () => {
  test('are attached, checked and detached as a runtime does it', async () => {
    const container = await lab.attach('node1', { namespace: 'shop', name: 'web', labels: { app: 'web' } });
    expect(container.result).toMatchObject({ cniVersion: '1.0.0' });
    await lab.check(container);
    const { body } = await lab.rest<{ items: { name: string; ips: string[] }[] }>('GET', '/v1/tenants/red/endpoints');
    expect(body.items).toContainEqual(
      expect.objectContaining({ name: 'web', ips: [container.ip], mac: container.mac }),
    );
    await lab.detach(container);
    expect(listNamespaces(lab.id)).not.toContain(container.netns);
  });

  test('that are refused leave no namespace, and say why', async () => {
    const before = listNamespaces(lab.id);
    await expect(lab.attach('node1', { tenant: 'unknown' })).rejects.toThrow(CniFailure);
    expect(listNamespaces(lab.id)).toEqual(before);
  });
});

describe('probes between two hosts that are no nodes', () => {
  let near: Awaited<ReturnType<Lab['addStranger']>>;
  let far: Awaited<ReturnType<Lab['addStranger']>>;

  beforeAll(async () => {
    near = await lab.addStranger();
    far = await lab.addStranger({ address: '192.168.9.250' });
    await lab.prober(far).tcpListen(80, 'far');
    await lab.prober(far).udpListen(53, 'far');
  });

  test('tell an open port, a closed one, a dead address and no way at all from each other', async () => {
    const from = lab.prober(near);
    const results = await Promise.all([
      from.tcpConnect(far.address, 80),
      from.tcpConnect(far.address, 81),
      from.tcpConnect('192.168.9.249', 80),
      lab.prober(lab.outside).tcpConnect('10.128.0.1', 80),
      from.udpExchange(far.address, 53),
      from.udpExchange(far.address, 54),
      from.udpExchange('192.168.9.249', 53),
      from.ping(far.address),
      from.ping('192.168.9.249'),
      from.ping(far.address, { packetSize: 1501, dontFragment: true }),
      from.ping(lab.outside.address, { ttl: 1 }),
    ]);
    expect(results.map(({ outcome }) => outcome)).toEqual([
      ...['open', 'refused', 'timeout', 'unreachable'],
      ...['answered', 'refused', 'timeout'],
      ...['answered', 'timeout', 'unreachable', 'unreachable'],
    ]);
    expect(results[0]).toMatchObject({ id: 'far' });
    expect(results[4]).toMatchObject({ id: 'far' });
    expect(results[10]).toMatchObject({ from: '192.168.9.254', type: 11, code: 0 });
  });

  test('take a server that says nothing for open', async () => {
    const { underlay } = lab.topology.manage[0] ?? { underlay: '' };
    const result = await lab.prober(near).tcpConnect(underlay, 2379, { connectOnly: true });
    expect(result).toMatchObject({ outcome: 'open' });
  });

  test('send any frame, and hear it where it arrives', async () => {
    const [out, into] = [new RawLink(near.netns), new RawLink(far.netns)];
    try {
      const between = { source: '203.0.113.9', destination: far.address };
      const datagram = udp({ ...between, sourcePort: 4242, destinationPort: 53 }, Buffer.from('forged'));
      const packet = ipv4({ ...between, protocol: PROTOCOL.udp }, datagram);
      out.send(ethernet({ source: '02:66:00:00:00:01', destination: far.mac, type: ETHERTYPE.ipv4 }, packet));
      const heard = await into.capture(
        ({ direction, fields }) => direction === 'in' && fields.ip?.source === '203.0.113.9',
      );
      expect(heard.fields).toMatchObject({ source: '02:66:00:00:00:01', ports: { source: 4242, destination: 53 } });
      expect(heard.fields.body?.toString()).toBe('forged');
      out.send(ethernet({ source: near.mac, destination: BROADCAST, type: 0x88b5 }, Buffer.alloc(46)));
      await into.capture(({ fields }) => fields.type === 0x88b5);
      expect(into.heard().filter(({ fields }) => fields.type === 0x88b6)).toEqual([]);
    } finally {
      out.close();
      into.close();
    }
  });

  test.each(['tcp', 'udp'] as const)('keep a %s flow going and notice when it falls silent', async (protocol) => {
    const options = { from: lab.prober(near), to: lab.prober(far), address: far.address, port: 7000 };
    const flow = await Flow.start(protocol, options);
    try {
      await waitFor(() => flow.echoed >= 20, { what: '20 echoes' });
      await run(['ip', '-n', far.netns, 'link', 'set', 'eth0', 'down']);
      await lab.sentinel.pass();
      const { deliveredBytes, echoed, missing } = flow;
      expect(deliveredBytes).toBeGreaterThan(0);
      await flow.untilTriedAgain();
      await waitFor(() => flow.missing > missing, { what: 'messages that do not come back' });
      await lab.sentinel.pass();
      expect([flow.deliveredBytes, flow.echoed]).toEqual([deliveredBytes, echoed]);
      await run(['ip', '-n', far.netns, 'link', 'set', 'eth0', 'up']);
      await waitFor(() => flow.echoed > echoed, { what: 'echoes again' });
    } finally {
      flow.close();
    }
  });
});

describe('what can be broken', () => {
  test('an agent is killed and started again', async () => {
    const before = lab.pid('node1');
    await lab.killAgent('node1');
    expect(lab.pid('node1')).toBeUndefined();
    await expect(lab.attach('node1', { tenant: 'red' })).rejects.toMatchObject({ code: 11 });
    await lab.startAgent('node1');
    expect(lab.pid('node1')).not.toBe(before);
    await lab.detach(await lab.attach('node1', { tenant: 'red' }));
  });

  test('a controller is killed, the other one answers', async () => {
    await lab.killController('manage1', 'SIGTERM');
    await expect(lab.rest('GET', '/v1/tenants/red', undefined, {}, 'manage1')).rejects.toThrow();
    expect((await lab.rest('GET', '/v1/tenants/red', undefined, {}, 'manage2')).status).toBe(200);
    await lab.startController('manage1');
    expect((await lab.rest('GET', '/v1/tenants/red')).status).toBe(200);
  });

  test('etcd is killed and comes back with what it knew', async () => {
    await lab.killEtcd();
    expect(lab.pid('etcd')).toBeUndefined();
    await lab.startEtcd();
    await waitFor(async () => (await lab.rest('GET', '/v1/tenants/red')).status === 200, {
      what: 'REST answers again',
    });
  });
});

describe('the demo’s matrix', () => {
  test('is as expected, and finds every denied way open once the rules are gone', async () => {
    const stage = await startLab({ nodes: 2, gateways: 1 });
    try {
      await createTenants(stage);
      const actors = await attachAll(stage);
      await listenEverywhere(stage);
      const cells = [...containerCells(actors), ...(await platformCells(stage, actors))];
      const wrong = async () => (await runMatrix(cells)).filter(({ asExpected }) => !asExpected);
      await waitFor(async () => (await wrong()).length === 0, { what: 'all is as expected' });
      // An agent would put its rules back.
      for (const { name } of stage.hosts) await stage.killAgent(name);
      for (const { netns } of stage.hosts)
        await run(['nsenter', `--net=/run/netns/${netns}`, 'nft', 'flush', 'ruleset']);
      const opened = (await wrong()).filter(({ verdict }) => verdict.kind === 'allowed').map(({ cell }) => cell);
      expect(opened).toEqual(cells.filter(({ expected }) => expected === 'denied'));
    } finally {
      await stage.close();
    }
  });
});

describe('nothing stays behind', () => {
  test('two labs stand at once; closing one leaves the other alone', async () => {
    const other = await startLab({ nodes: 1 });
    try {
      expect((await other.rest('POST', '/v1/tenants', { name: 'red' })).status).toBe(201);
      const container = await other.attach('node1', { tenant: 'red' });
      expect(listNamespaces(other.id)).toContain(container.netns);
    } finally {
      await other.close();
    }
    expect(leftovers(other.id)).toEqual(NOTHING);
    expect(await takeDown(other.id)).toBe(false);
    expect((await lab.rest('GET', '/v1/tenants/red')).status).toBe(200);
  });

  test('a lab that cannot be built says why and is gone', async () => {
    await expect(startLab({ id: 'faulty', nodes: 1, backend: 'no-such-backend' })).rejects.toThrow(/node1/);
    expect(leftovers('faulty')).toEqual(NOTHING);
  });

  test('the command line: up prints one object, the lab outlives it, down removes it, twice', async () => {
    const up = await command(['up', '--nodes', '1', '--id', 'byhand', '--json']);
    try {
      expect(up.code).toBe(0);
      const { controllers, token } = JSON.parse(up.stdout) as ReturnType<Lab['describe']>;
      const headers = { authorization: `Bearer ${token}` };
      expect((await fetch(`${controllers[0]?.url}/v1/tenants`, { headers })).status).toBe(200);
      expect((await command(['up', '--nodes', '1', '--id', 'byhand'])).code).toBe(1);
    } finally {
      expect((await command(['down', '--id', 'byhand'])).code).toBe(0);
    }
    expect(leftovers('byhand')).toEqual(NOTHING);
    expect((await command(['down', '--id', 'byhand'])).code).toBe(0);
  });

  test('Ctrl-C in the middle of up cleans up and exits with 130', async () => {
    const { code } = await command(['up', '--nodes', '1', '--id', 'ctrlc'], /etcd answers/);
    expect(code).toBe(130);
    expect(leftovers('ctrlc')).toEqual(NOTHING);
  });
});

/** @param interruptAt sends SIGINT once stderr says so */
function command(args: readonly string[], interruptAt?: RegExp): Promise<{ code: number | null; stdout: string }> {
  const child = spawn(process.execPath, [join(ROOT, 'dist/test/lab/main.js'), ...args], { stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (interruptAt?.test(stderr)) child.kill('SIGINT');
  });
  return new Promise((resolve, reject) => child.on('error', reject).on('close', (code) => resolve({ code, stdout })));
}
