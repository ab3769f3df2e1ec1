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

describe('a time that makes no sense ends the agent with 2, and names the flag', () => {
  test.each(['0.5', '61', '5s', ''])('%j', (text) => {
    let said = '';
    vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
      said += String(chunk);
      return true;
    });
    vi.spyOn(process, 'exit').mockImplementation((code) => {
      throw new Error(`exit ${code}`);
    });
    expect(() => parseConfig(['--etcd-timeout', text], 'node1')).toThrow('exit 2');
    expect(said).toContain('--etcd-timeout');
  });
});
