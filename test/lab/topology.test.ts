/** The plan of a lab, and what a runtime makes of its configuration list: the pure parts. */
import { describe, expect, test } from 'vitest';
import { deriveConfig, formatConflist } from './container.ts';
import { agentHosts, hostFiles, isLabId, planLab, planStranger } from './topology.ts';

describe('planLab', () => {
  test('gives each host a namespace, an address and a MAC of its own', () => {
    const topology = planLab('abc', { nodes: 199, controllers: 9, gateways: 19 });
    const hosts = [
      ...topology.manage,
      ...agentHosts(topology),
      ...Array.from({ length: 20 }, (_, i) => planStranger('abc', i)),
    ];
    for (const field of ['netns', 'underlay', 'mac'] as const)
      expect(new Set(hosts.map((host) => host[field])).size, field).toBe(hosts.length);
    expect(hosts.every(({ underlay }) => underlay !== '192.168.9.254')).toBe(true);
    expect(topology.etcdUrl).toBe('http://192.168.9.1:2379');
  });

  test('keeps the sockets of the longest id within the kernel’s 107 bytes', () => {
    const topology = planLab('abcdefgh', { nodes: 199 });
    for (const { name } of topology.compute) expect(hostFiles(topology, name).agentSocket.length).toBeLessThan(108);
  });

  test.each([
    ['no controller', { controllers: 0 }],
    ['too many nodes', { nodes: 200 }],
    ['half a gateway', { gateways: 0.5 }],
  ])('refuses %s', (_, options) => {
    expect(() => planLab('abc', options)).toThrow(RangeError);
  });

  test.each(['', 'UPPER', '../x', 'toolongid', 'a b'])('refuses the id %j', (id) => {
    expect(isLabId(id)).toBe(false);
    expect(() => planLab(id, {})).toThrow(RangeError);
  });
});

describe('deriveConfig', () => {
  const conflist = formatConflist('/x/agent.sock');

  test('makes of the list what a runtime makes of it', () => {
    expect(deriveConfig(conflist, {})).toEqual({
      cniVersion: '1.0.0',
      name: 'tenet',
      type: 'tenet',
      agentSocket: '/x/agent.sock',
    });
  });

  test('puts tenant, labels and ports into args, and wishes into runtimeConfig', () => {
    const ports = [{ name: 'http', containerPort: 80 }];
    const options = { tenant: 'red', labels: { app: 'web' }, ports, ip: '10.1.0.1', mac: '02:00:00:00:00:01' };
    expect(deriveConfig(conflist, options, { ips: [] })).toMatchObject({
      args: { cni: { tenant: 'red', labels: [{ key: 'app', value: 'web' }], ports } },
      runtimeConfig: { ips: ['10.1.0.1'], mac: '02:00:00:00:00:01' },
      prevResult: { ips: [] },
    });
  });

  test('keeps a wish from a plugin that does not claim to grant it', () => {
    const modest = conflist.replace('"ips": true', '"ips": false');
    expect(deriveConfig(modest, { ip: '10.1.0.1' })).not.toHaveProperty('runtimeConfig');
  });
});
