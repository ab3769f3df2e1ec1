/** The agent's flags that are more than text. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { parseConfig } from '../../../cni-plugin/agent/config.ts';

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

test('a call to etcd may take 5 s unless the flag or the variable says otherwise', () => {
  expect(parseConfig([], 'node1').etcdTimeoutMs).toBe(5000);
  vi.stubEnv('TENET_ETCD_TIMEOUT', '7');
  expect(parseConfig([], 'node1').etcdTimeoutMs).toBe(7000);
  expect(parseConfig(['--etcd-timeout', '2.5'], 'node1').etcdTimeoutMs).toBe(2500);
});

test('bounds of flows come from flags or variables, and are left out without any', () => {
  expect(parseConfig([], 'node1').flows).toEqual({});
  vi.stubEnv('TENET_POD_FLOWS', '1000');
  expect(parseConfig(['--tenant-flows', '4096'], 'node1').flows).toEqual({ ofPod: 1000, ofTenant: 4096 });
});

test('a node is called by its host in lower case', () => {
  expect(parseConfig([], 'Node1.Example').node).toBe('node1.example');
});

test('a host whose name is no node’s has to be given one', () => {
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  vi.spyOn(process, 'exit').mockImplementation((code) => {
    throw new Error(`exit ${code}`);
  });
  expect(() => parseConfig([], 'my_host')).toThrow('exit 2');
  expect(parseConfig(['--node', 'node1'], 'my_host').node).toBe('node1');
});

describe('a value that makes no sense ends the agent with 2, and names the flag', () => {
  const faults = [
    ...['0.5', '61', '5s', ''].map((text) => ['--etcd-timeout', text] as const),
    ...['255', '16777217', '-1', '1e4', 'many', ''].map((text) => ['--pod-flows', text] as const),
    ['--tenant-flows', '255'] as const,
    ...['Node1', 'a..b', 'a.-b', 'a_b'].map((text) => ['--node', text] as const),
  ];
  test.each(faults)('%s %j', (flag, text) => {
    let said = '';
    vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
      said += String(chunk);
      return true;
    });
    vi.spyOn(process, 'exit').mockImplementation((code) => {
      throw new Error(`exit ${code}`);
    });
    expect(() => parseConfig([flag, text], 'node1')).toThrow('exit 2');
    expect(said).toContain(flag);
  });
});
