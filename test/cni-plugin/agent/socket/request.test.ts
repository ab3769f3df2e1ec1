/** What a request asks for: names, labels, ports, wanted addresses, from every source a runtime has. */
import { describe, expect, test } from 'vitest';
import { endpointId, parseEndpointRequest } from '../../../../cni-plugin/agent/socket/request.ts';
import { InvalidInput } from '../../../../controller/errors.ts';
import { parseEndpointLabels, parseEndpointPorts } from '../../../../controller/model/endpoint.ts';
import { agentRequest } from '../../calls.ts';

interface Given {
  args?: Record<string, string>;
  cni?: Record<string, unknown>;
  runtimeConfig?: Record<string, unknown>;
  config?: Record<string, unknown>;
}

function parse({ args = {}, cni, runtimeConfig, config = {} }: Given = {}, command: 'ADD' | 'DEL' = 'ADD') {
  const changes = { ...config, ...(cni && { args: { cni } }), ...(runtimeConfig && { runtimeConfig }) };
  return parseEndpointRequest(agentRequest({ command, args }, changes));
}

function fault(given: Given): string {
  try {
    parse(given);
  } catch (error) {
    if (error instanceof InvalidInput) return error.message;
    throw error;
  }
  throw new Error('was accepted');
}

const wanted = (given: Given) => parse(given).wantedIps.map(({ address, field }) => `${field} ${address}`);

describe('an endpoint', () => {
  test('has 12 hex digits of the hash of container id and interface', () => {
    // printf c1/eth0 | sha256sum
    expect(endpointId('c1', 'eth0')).toBe('d72e032fedd9');
    expect(endpointId('c1', 'eth1')).not.toBe(endpointId('c1', 'eth0'));
  });

  test('of a bare container has its id for a name, and nothing else', () => {
    expect(parse()).toEqual({
      id: endpointId('c0ffee00c0ffee', 'eth0'),
      containerId: 'c0ffee00c0ffee',
      ifname: 'eth0',
      netns: '/run/netns/cni-1234',
      name: 'c0ffee00c0ffee',
      labels: {},
      ports: [],
      wantedIps: [],
    });
  });

  test('of podman has its container’s name, and empty arguments are none', () => {
    const podman = parse({ args: { K8S_POD_NAME: 'My_web.1', K8S_POD_NAMESPACE: '', MAC: '', IP: '' } });
    expect(podman).toMatchObject({ name: 'My_web.1', wantedIps: [] });
    expect(podman.namespace).toBeUndefined();
    expect(podman.wantedMac).toBeUndefined();
  });

  test('names every source of its tenant', () => {
    const request = parse({
      args: { K8S_POD_NAMESPACE: 'shop' },
      cni: { tenant: 'acme' },
      config: { tenant: 'globex' },
    });
    expect(request).toMatchObject({ tenantArg: 'acme', tenantConfig: 'globex', namespace: 'shop' });
  });

  test('takes null for absent, as Go runtimes write it', () => {
    const cni = { tenant: null, labels: null, ports: null, ips: null };
    expect(parse({ cni, config: { tenant: null }, runtimeConfig: { ips: null, mac: null } })).toEqual(parse());
  });

  test('to be deleted is not judged', () => {
    const given = { args: { K8S_POD_NAMESPACE: '!', IP: 'x' }, cni: { labels: [{ key: '', value: 5 }], tenant: 7 } };
    expect(parse(given, 'DEL')).toMatchObject({ id: endpointId('c0ffee00c0ffee', 'eth0'), labels: {} });
  });

  test.each<[Given, string]>([
    [{ cni: { tenant: 'a/b' } }, 'args.cni.tenant: "a/b"'],
    [{ config: { tenant: 'Acme' } }, 'tenant: "Acme"'],
    [{ args: { K8S_POD_NAMESPACE: '../x' } }, 'K8S_POD_NAMESPACE: "../x"'],
    [{ args: { K8S_POD_NAMESPACE: 'n'.repeat(64) } }, 'K8S_POD_NAMESPACE'],
    [{ args: { K8S_POD_NAME: 'a/b' } }, 'K8S_POD_NAME: "a/b"'],
  ])('%j is refused by its field', (given, words) => {
    expect(fault(given)).toContain(words);
  });
});

test.each([
  ['a prefix of one part longer than 63', `${'a'.repeat(70)}.example.org/role`],
  ['a prefix of 253 in all', `${'a.'.repeat(126)}b/role`],
])('a label’s key with %s is taken, by REST too', (_, key) => {
  const labels = { [key]: 'x' };
  expect(parse({ cni: { labels: [{ key, value: 'x' }] } }).labels).toEqual(labels);
  expect(parseEndpointLabels(labels)).toEqual(labels);
  expect(fault({ cni: { labels: [{ key: `a.${'b.'.repeat(126)}c/role`, value: '' }] } })).toContain('labels[0].key');
});

describe('labels', () => {
  const label = (key: string, value = '') => ({ labels: [{ key, value }] });

  test('become a record', () => {
    const labels = [
      { key: 'app.kubernetes.io/name', value: 'web_1.2-x' },
      { key: 'Tier', value: '' },
    ];
    expect(parse({ cni: { labels } }).labels).toEqual({ 'app.kubernetes.io/name': 'web_1.2-x', Tier: '' });
  });

  test.each([
    '',
    '-a',
    'a-',
    '_a',
    'a b',
    'a/',
    '/a',
    'a/b/c',
    'A.b/c',
    'a..b/c',
    'é',
    'n'.repeat(64),
    `${'p'.repeat(254)}/a`,
  ])('refuse the key %j', (key) => {
    expect(fault({ cni: label(key) })).toContain('args.cni.labels[0].key');
  });

  test.each(['-a', 'a.', 'a b', 'a/b', 'v'.repeat(64)])('refuse the value %j', (value) => {
    expect(fault({ cni: label('app', value) })).toContain('args.cni.labels[0].value');
  });

  test('refuse a key given twice', () => {
    const labels = [
      { key: 'app', value: 'a' },
      { key: 'app', value: 'b' },
    ];
    expect(fault({ cni: { labels } })).toContain('args.cni.labels[1].key: "app" is given twice');
  });
});

test('so many labels and ports as an object may have, and no more', () => {
  const labels = (count: number) => Array.from({ length: count }, (_, at) => ({ key: `k${at}`, value: '' }));
  const ports = (count: number) => Array.from({ length: count }, (_, at) => ({ name: `p${at}`, containerPort: 80 }));
  expect(parse({ cni: { labels: labels(64), ports: ports(128) } }).ports).toHaveLength(128);
  expect(fault({ cni: { labels: labels(65) } })).toContain('args.cni.labels: has 65');
  expect(fault({ cni: { ports: ports(129) } })).toContain('args.cni.ports: has 129');
});

describe('ports', () => {
  test('are TCP unless they say otherwise', () => {
    const ports = [
      { name: 'http', containerPort: 80 },
      { name: 'dns-53', containerPort: 53, protocol: 'UDP' },
    ];
    expect(parse({ cni: { ports } }).ports).toEqual([
      { name: 'http', containerPort: 80, protocol: 'TCP' },
      { name: 'dns-53', containerPort: 53, protocol: 'UDP' },
    ]);
  });

  test.each<[Record<string, unknown>, string]>([
    [{ name: 'HTTP' }, 'name'],
    [{ name: '80' }, 'name'],
    [{ name: 'a--b' }, 'name'],
    [{ name: '-a' }, 'name'],
    [{ name: 'a'.repeat(16) }, 'name'],
    [{ containerPort: 0 }, 'containerPort'],
    [{ containerPort: 65536 }, 'containerPort'],
    [{ containerPort: 1.5 }, 'containerPort'],
    [{ protocol: 'tcp' }, 'protocol'],
    [{ protocol: 'ICMP' }, 'protocol'],
  ])('refuse %j', (changes, field) => {
    expect(fault({ cni: { ports: [{ name: 'http', containerPort: 80, ...changes }] } })).toContain(
      `args.cni.ports[0].${field}:`,
    );
  });

  test('refuse a name given twice for one protocol; for two it means two ports, as in REST', () => {
    const http = { name: 'http', containerPort: 80 };
    const both = [http, { ...http, protocol: 'UDP' }];
    expect(fault({ cni: { ports: [http, { ...http, protocol: 'TCP' }] } })).toContain('args.cni.ports[1].name');
    expect(parse({ cni: { ports: both } }).ports).toEqual(parseEndpointPorts(parse({ cni: { ports: both } }).ports));
  });
});

describe('wanted addresses', () => {
  test.each<[Given, string[]]>([
    [
      { runtimeConfig: { ips: ['10.0.0.7/24', 'FD00::07'] } },
      ['runtimeConfig.ips[0] 10.0.0.7', 'runtimeConfig.ips[1] fd00::7'],
    ],
    [{ cni: { ips: ['10.0.0.7'] } }, ['args.cni.ips[0] 10.0.0.7']],
    [{ args: { IP: '10.0.0.7/32' } }, ['CNI_ARGS IP 10.0.0.7']],
    [{ args: { IP: '10.0.0.7,fd00::7/64' } }, ['CNI_ARGS IP 10.0.0.7', 'CNI_ARGS IP fd00::7']],
  ])('%j', (given, addresses) => {
    expect(wanted(given)).toEqual(addresses);
  });

  test('asked for twice in the same words or others are one wish', () => {
    const given = { runtimeConfig: { ips: ['10.0.0.7', 'fd00::7'] }, args: { IP: 'fd00:0::7,10.0.0.7/8' } };
    expect(wanted(given)).toEqual(['runtimeConfig.ips[0] 10.0.0.7', 'runtimeConfig.ips[1] fd00::7']);
  });

  test('in args hide those in CNI_ARGS, by the conventions', () => {
    expect(wanted({ cni: { ips: ['10.0.0.7'] }, args: { IP: '10.0.0.8' } })).toEqual(['args.cni.ips[0] 10.0.0.7']);
  });

  test.each<[Given, string[]]>([
    [
      { runtimeConfig: { ips: ['10.0.0.7'] }, cni: { ips: ['10.0.0.8'] } },
      ['args.cni.ips[0] (10.0.0.8)', 'runtimeConfig.ips[0] (10.0.0.7)'],
    ],
    [{ runtimeConfig: { ips: ['10.0.0.7', 'fd00::7'] }, args: { IP: '10.0.0.7' } }, ['CNI_ARGS IP', 'fd00::7']],
    [{ runtimeConfig: { ips: ['10.0.0.7', '10.0.0.8'] } }, ['runtimeConfig.ips[1]', 'second IPv4']],
    [{ cni: { ips: ['10.0.0.7', '10.0.0.7'] } }, ['args.cni.ips[1]']],
    [{ cni: { ips: ['10.0.0.7/33'] } }, ['args.cni.ips[0]', '10.0.0.7/33']],
    [{ cni: { ips: ['10.0.0.7/8/8'] } }, ['args.cni.ips[0]']],
    [{ cni: { ips: ['10.0.0.256'] } }, ['args.cni.ips[0]', '10.0.0.256']],
    [{ args: { IP: 'fe80::1%eth0' } }, ['CNI_ARGS IP', 'fe80::1%eth0']],
  ])('%j are refused', (given, words) => {
    const message = fault(given);
    for (const word of words) expect(message).toContain(word);
  });
});

describe('a wanted MAC', () => {
  test.each<[Given, string]>([
    [{ runtimeConfig: { mac: '02-AB-00-00-00-01' } }, '02:ab:00:00:00:01'],
    [{ args: { MAC: '02:ab:00:00:00:01' } }, '02:ab:00:00:00:01'],
    [{ runtimeConfig: { mac: '02:AB:00:00:00:01' }, args: { MAC: '02:ab:00:00:00:01' } }, '02:ab:00:00:00:01'],
  ])('%j', (given, mac) => {
    expect(parse(given).wantedMac).toBe(mac);
  });

  test.each<[Given, string]>([
    [{ runtimeConfig: { mac: '00:00:00:00:00:00' } }, 'runtimeConfig.mac'],
    [{ args: { MAC: '01:00:5e:00:00:01' } }, 'CNI_ARGS MAC'],
    [{ args: { MAC: 'ff:ff:ff:ff:ff:ff' } }, 'CNI_ARGS MAC'],
    [{ args: { MAC: '02:00' } }, 'CNI_ARGS MAC'],
    [{ runtimeConfig: { mac: '02:00:00:00:00:01' }, args: { MAC: '02:00:00:00:00:02' } }, 'runtimeConfig.mac'],
  ])('%j is refused', (given, words) => {
    expect(fault(given)).toContain(words);
  });
});
