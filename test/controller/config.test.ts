/** Flags and environment become a configuration, or an error that names the flag. */
import { describe, expect, test } from 'vitest';
import { parseConfig, UsageExit } from '../../controller/config.ts';

function parse(argv: string[], env: Record<string, string> = {}) {
  return parseConfig(argv, env, '1.2.3', () => undefined);
}

function refusal(argv: string[], env: Record<string, string> = {}): UsageExit {
  try {
    parse(argv, env);
  } catch (error) {
    if (error instanceof UsageExit) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

test('without flags it is a single machine on loopback', () => {
  const { name, ...config } = parse([]);
  expect(name).not.toBe('');
  expect(config).toEqual({
    listen: [{ kind: 'tcp', host: '127.0.0.1', port: 7480 }],
    etcd: { kind: 'embedded', dataDir: '/var/lib/tenet/etcd', listenAddress: '127.0.0.1', port: 2379 },
    etcdTimeoutMs: 5000,
    cluster: {},
    tokenFile: '/var/lib/tenet/token',
    warnBackupDays: 7,
    logLevel: 'info',
  });
});

test('every flag is understood', () => {
  const argv = [
    '--listen 0.0.0.0:80 --listen [::1]:7480 --listen unix:/run/tenet.sock --embedded-etcd /data --etcd-listen 192.0.2.1',
    '--pool 10.0.0.0/9 --pool fd00::/48 --subnet-prefix-length 24 --block-prefix-length 28 --platform-network 192.0.2.0/24',
    '--open-network 168.63.129.16/32',
    '--exception dns=192.0.2.53:53/udp --exception dns6=[2001:db8::53]:53/TCP --default-tenant acme',
    '--token-file /t --name m1 --log-level debug --etcd-timeout 2.5 --warn-backup-days 30',
  ];
  expect(parse(argv.join(' ').split(' '))).toEqual({
    name: 'm1',
    listen: [
      { kind: 'tcp', host: '0.0.0.0', port: 80 },
      { kind: 'tcp', host: '::1', port: 7480 },
      { kind: 'unix', path: '/run/tenet.sock' },
    ],
    etcd: { kind: 'embedded', dataDir: '/data', listenAddress: '192.0.2.1', port: 2379 },
    etcdTimeoutMs: 2500,
    warnBackupDays: 30,
    cluster: {
      pools: ['10.0.0.0/9', 'fd00::/48'],
      subnetPrefixLength: 24,
      blockPrefixLength: 28,
      platformNetworks: ['192.0.2.0/24'],
      openNetworks: ['168.63.129.16/32'],
      exceptions: [
        { name: 'dns', address: '192.0.2.53', protocol: 'UDP', port: 53 },
        { name: 'dns6', address: '2001:db8::53', protocol: 'TCP', port: 53 },
      ],
      defaultTenant: 'acme',
    },
    tokenFile: '/t',
    logLevel: 'debug',
  });
});

test('every flag has a variable, lists have commas, and the command line wins', () => {
  const env = {
    TENET_LISTEN: '127.0.0.1:1,unix:/s',
    TENET_ETCD: 'http://192.0.2.1:2379,http://192.0.2.2:2379/',
    TENET_POOL: '10.0.0.0/9',
    TENET_ETCD_TIMEOUT: '7',
    TENET_NAME: 'from-environment',
    TENET_LOG_LEVEL: '',
  };
  expect(parse(['--name', 'from-flag'], env)).toMatchObject({
    name: 'from-flag',
    listen: [
      { kind: 'tcp', host: '127.0.0.1', port: 1 },
      { kind: 'unix', path: '/s' },
    ],
    etcd: { kind: 'external', endpoints: ['http://192.0.2.1:2379', 'http://192.0.2.2:2379'] },
    etcdTimeoutMs: 7000,
    cluster: { pools: ['10.0.0.0/9'] },
    logLevel: 'info',
  });
});

describe('what cannot be is refused with the name of its flag', () => {
  test.each<[string, string[]]>([
    ['--listen', ['--listen', 'nowhere']],
    ['--listen', ['--listen', '7480']],
    ['--listen', ['--listen', '127.0.0.1:70000']],
    ['--listen', ['--listen', 'unix:relative.sock']],
    ['--etcd', ['--etcd', 'localhost:2379']],
    ['--embedded-etcd', ['--etcd', 'http://192.0.2.1:2379', '--embedded-etcd', '/data']],
    ['--etcd-listen', ['--etcd', 'http://192.0.2.1:2379', '--etcd-listen', '192.0.2.1']],
    ['--etcd-listen', ['--etcd-listen', 'here']],
    ['--etcd-timeout', ['--etcd-timeout', '0.5']],
    ['--etcd-timeout', ['--etcd-timeout', '61']],
    ['--warn-backup-days', ['--warn-backup-days', '-1']],
    ['--warn-backup-days', ['--warn-backup-days', '1.5']],
    ['--etcd-timeout', ['--etcd-timeout', '5s']],
    ['--pool', ['--pool', 'x']],
    ['--pool', ['--pool', '10.0.0.1/9']],
    ['--pool', ['--pool', '10.0.0.0/9', '--pool', '10.64.0.0/16']],
    ['--subnet-prefix-length', ['--subnet-prefix-length', '33']],
    ['--subnet-prefix-length', ['--subnet-prefix-length', '8']],
    ['--block-prefix-length', ['--block-prefix-length', '20']],
    ['--platform-network', ['--platform-network', '10.128.0.0/24']],
    ['--exception', ['--exception', 'dns=192.0.2.53:53']],
    ['--exception', ['--exception', 'dns=nowhere:53/UDP']],
    ['--exception', ['--exception', 'dns=10.200.0.1:53/UDP']],
    ['--default-tenant', ['--default-tenant', 'Acme']],
    ['--log-level', ['--log-level', 'loud']],
    ['--colour', ['--colour', 'blue']],
    ['argument', ['extra']],
  ])('%s: %j', (flag, argv) => {
    const { exitCode, message } = refusal(argv);
    expect(exitCode).toBe(2);
    expect(message).toContain(flag);
  });

  test('from the environment too', () => {
    expect(refusal([], { TENET_POOL: '10.0.0.0/40' }).message).toContain('--pool');
  });
});

test('--help and --version end well, and help names flags and variables', () => {
  let printed = '';
  const print = (text: string) => {
    printed += text;
  };
  for (const flag of ['--help', '--version'])
    expect(() => parseConfig([flag], {}, '1.2.3', print)).toThrowError(expect.objectContaining({ exitCode: 0 }));
  expect(printed).toMatch(/--listen[\s\S]*TENET_LISTEN/);
  expect(printed).toContain('1.2.3');
});
