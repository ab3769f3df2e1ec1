/** The CNI protocol as pure functions: what each version and verb accepts, and which code and words a refusal has. */
import { describe, expect, test } from 'vitest';
import { CniError } from '../../cni-plugin/cni-error.ts';
import { formatVersions, parseInvocation } from '../../cni-plugin/protocol.ts';
import { configuration, environment } from './calls.ts';

const VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
const KNOWN_FROM = { ADD: '0.3.0', DEL: '0.3.0', CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' } as const;

type Call = { env?: Record<string, string | undefined>; config?: Record<string, unknown>; stdin?: string };

function parse({ env = {}, config = {}, stdin }: Call) {
  return parseInvocation(environment(env), stdin ?? JSON.stringify(configuration(config)));
}

function request(call: Call) {
  const invocation = parse(call);
  if (invocation.kind !== 'agent') throw new Error('answered without the agent');
  return invocation.request;
}

function refusal(call: Call): { code: number; text: string } {
  try {
    parse(call);
  } catch (error) {
    if (error instanceof CniError) return { code: error.code, text: `${error.message}; ${error.details}` };
    throw error;
  }
  throw new Error('was accepted');
}

describe('versions and verbs', () => {
  const table = VERSIONS.flatMap((version) =>
    Object.entries(KNOWN_FROM).map(([verb, from]) => ({ version, verb, known: version >= from })),
  );

  test.each(table.filter(({ known }) => known))('$version knows $verb', ({ version, verb }) => {
    const invocation = parse({ env: { CNI_COMMAND: verb }, config: { cniVersion: version } });
    expect(invocation).toMatchObject({ kind: 'agent', version, request: { command: verb } });
  });

  test.each(table.filter(({ known }) => !known))('$version does not know $verb', ({ version, verb }) => {
    const { code, text } = refusal({ env: { CNI_COMMAND: verb }, config: { cniVersion: version } });
    expect(code).toBe(1);
    expect(text).toContain(verb);
  });

  test.each([undefined, '', '0.1.0', '0.2.0', '1.2.0', '1.1', 'new'])(
    'refuses cniVersion %j with code 1',
    (cniVersion) => {
      const { code, text } = refusal({ config: { cniVersion } });
      expect(code).toBe(1);
      expect(text).toContain('supported: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0');
    },
  );

  test('a cniVersion that is not text cannot be decoded', () => {
    expect(refusal({ config: { cniVersion: 1.1 } }).code).toBe(6);
  });
});

describe('VERSION', () => {
  test.each([
    ['{"cniVersion":"1.0.0"}', '1.0.0'],
    ['{"cniVersion":"1.9.0"}', '1.9.0'],
    ['{}', '1.1.0'],
    ['', '1.1.0'],
    ['no JSON', '1.1.0'],
    ['{"cniVersion":7}', '1.1.0'],
  ])('given %s it answers in %s', (stdin, cniVersion) => {
    // podman and libcni set nothing else, or dummies.
    expect(parseInvocation({ CNI_COMMAND: 'VERSION', CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy' }, stdin)).toEqual({
      kind: 'version',
      cniVersion,
    });
  });

  test('lists every version, oldest first', () => {
    const { stdout, exitCode } = formatVersions('1.0.0');
    expect(JSON.parse(stdout)).toEqual({ cniVersion: '1.0.0', supportedVersions: VERSIONS });
    expect(exitCode).toBe(0);
  });
});

describe('environment', () => {
  test.each(['', undefined, 'add', 'REMOVE', 'toString'])('CNI_COMMAND %j is refused', (command) => {
    const { code, text } = refusal({ env: { CNI_COMMAND: command } });
    expect(code).toBe(4);
    expect(text).toContain('CNI_COMMAND');
  });

  test.each([
    ['ADD', ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_NETNS']],
    ['CHECK', ['CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_NETNS']],
    ['DEL', ['CNI_CONTAINERID', 'CNI_IFNAME']],
  ])('%s names every variable it misses', (CNI_COMMAND, needed) => {
    const { code, text } = refusal({ env: { CNI_COMMAND, CNI_CONTAINERID: '', CNI_IFNAME: undefined, CNI_NETNS: '' } });
    expect(code).toBe(4);
    expect(text).toContain(`invalid environment: ${needed.join(', ')};`);
    for (const variable of needed) expect(text).toContain(`${variable} is missing`);
  });

  test.each(['GC', 'STATUS'])('%s needs no variable but its command', (CNI_COMMAND) => {
    const invocation = parseInvocation({ CNI_COMMAND }, JSON.stringify(configuration()));
    expect(invocation).toMatchObject({ request: { containerId: '', netns: '', ifname: '', args: {} } });
  });

  test.each(['-a', '.a', '_a', 'a/b', 'a b', 'ä', 'a\n'])('container id %j is refused', (CNI_CONTAINERID) => {
    expect(refusal({ env: { CNI_CONTAINERID } })).toMatchObject({
      code: 4,
      text: expect.stringContaining('CNI_CONTAINERID'),
    });
  });

  test.each(['a', '0', 'A.b_c-d', 'f'.repeat(64)])('container id %j is taken', (CNI_CONTAINERID) => {
    expect(request({ env: { CNI_CONTAINERID } }).containerId).toBe(CNI_CONTAINERID);
  });

  test.each(['.', '..', 'a/b', 'a:b', 'a b', 'a\tb', 'a\u00a0b', '0123456789abcdef', 'éééééééé', 'eth%d', 'a\x1bb'])(
    'interface name %j is refused',
    (CNI_IFNAME) => {
      expect(refusal({ env: { CNI_IFNAME } })).toMatchObject({ code: 4, text: expect.stringContaining('CNI_IFNAME') });
    },
  );

  test.each(['eth0', '...', '0123456789abcde', 'eth0.100', 'ééééééé'])('interface name %j is taken', (CNI_IFNAME) => {
    expect(request({ env: { CNI_IFNAME } }).ifname).toBe(CNI_IFNAME);
  });

  test('a relative CNI_NETNS is refused on ADD and means "gone" on DEL', () => {
    const env = { CNI_NETNS: 'run/netns/a' };
    expect(refusal({ env })).toMatchObject({ code: 4, text: expect.stringContaining('CNI_NETNS') });
    expect(request({ env: { ...env, CNI_COMMAND: 'DEL' } }).netns).toBe('');
  });

  test.each([
    ['K8S_POD_NAME=web;MAC=;IP=', { K8S_POD_NAME: 'web', MAC: '', IP: '' }],
    ['A=1;;B=x=y;', { A: '1', B: 'x=y' }],
    ['A=1;A=1', { A: '1' }],
    ['', {}],
    [undefined, {}],
  ])('CNI_ARGS %j is split', (CNI_ARGS, args) => {
    expect(request({ env: { CNI_ARGS } }).args).toEqual(args);
  });

  test.each(['A', '=1', 'K8S_POD_NAMESPACE=a;K8S_POD_NAMESPACE=b'])(
    'CNI_ARGS %j is refused, but not by DEL',
    (CNI_ARGS) => {
      expect(refusal({ env: { CNI_ARGS } })).toMatchObject({ code: 4, text: expect.stringContaining('CNI_ARGS') });
      expect(request({ env: { CNI_ARGS, CNI_COMMAND: 'DEL' } }).command).toBe('DEL');
    },
  );

  test.each([
    ['CNI_ARGS', `K=${'x'.repeat(16 * 1024)}`, 'longer than 16384'],
    ['CNI_ARGS', Array.from({ length: 65 }, (_, index) => `K${index}=`).join(';'), 'more than 64 keys'],
    ['CNI_ARGS', 'x;'.repeat(60_000), 'more than 64 keys'],
    ['CNI_CONTAINERID', 'c'.repeat(256), 'longer than 255'],
    ['CNI_NETNS', `/${'n'.repeat(4_095)}`, 'at most 4095'],
    ['CNI_COMMAND', 'A'.repeat(100_000), 'is unknown'],
    ['CNI_IFNAME', 'e'.repeat(100_000), 'longer than 15'],
  ])('%s of any length is refused in few words', (variable, value, why) => {
    const { code, text } = refusal({ env: { [variable]: value } });
    expect({ code, text }).toEqual({ code: 4, text: expect.stringContaining(why) });
    expect(text.length).toBeLessThan(500);
  });

  test('a key of CNI_ARGS cannot reach an object’s prototype', () => {
    const { args } = request({ env: { CNI_ARGS: '__proto__=x' } });
    expect(Object.getPrototypeOf(args)).toBe(Object.prototype);
    expect(Object.keys(args)).toEqual(['__proto__']);
  });
});

describe('configuration', () => {
  test.each(['', '  \n', '{', 'null', '[]', '"x"'])('stdin %j cannot be decoded', (stdin) => {
    expect(refusal({ stdin })).toMatchObject({ code: 6, text: expect.stringContaining('stdin') });
  });

  test.each<[Record<string, unknown>, string]>([
    [{ name: undefined }, 'name is missing'],
    [{ name: '' }, 'name was ""'],
    [{ name: 'a/b' }, 'name was "a/b"'],
    [{ type: undefined }, 'type is missing'],
    [{ agentSocket: 'agent.sock' }, 'agentSocket was "agent.sock"'],
    [{ agentSocket: `/${'a'.repeat(107)}` }, 'agentSocket must be an absolute path of at most 107'],
    [{ tenant: 7 }, 'tenant was 7'],
    [{ args: 'x' }, 'args was "x"'],
    [{ args: { cni: [] } }, 'args.cni was []'],
    [{ args: { cni: { tenant: '' } } }, 'args.cni.tenant was ""'],
    [{ args: { cni: { labels: { app: 'web' } } } }, 'args.cni.labels was {"app":"web"}'],
    [{ args: { cni: { labels: [{ key: 'app' }] } } }, 'args.cni.labels[0].value is missing'],
    [{ args: { cni: { labels: [{ key: 'a', value: '' }, 'x'] } } }, 'args.cni.labels[1] was "x"'],
    [{ args: { cni: { ports: [{ containerPort: 80 }] } } }, 'args.cni.ports[0].name is missing'],
    [{ args: { cni: { ports: [{ name: 'http', containerPort: '80' }] } } }, 'args.cni.ports[0].containerPort was "80"'],
    [
      { args: { cni: { ports: [{ name: 'http', containerPort: 65536 }] } } },
      'args.cni.ports[0].containerPort was 65536',
    ],
    [{ args: { cni: { ips: '10.0.0.1' } } }, 'args.cni.ips was "10.0.0.1"'],
    [{ args: { cni: { ips: ['10.0.0.1', 'ten'] } } }, 'args.cni.ips[1] was "ten"'],
    [{ runtimeConfig: { ips: [5] } }, 'runtimeConfig.ips[0] was 5'],
    [{ runtimeConfig: { mac: '02:00' } }, 'runtimeConfig.mac was "02:00"'],
    [{ prevResult: 'x' }, 'prevResult was "x"'],
  ])('%j is refused with code 7 and the words %j', (config, words) => {
    expect(refusal({ config })).toMatchObject({ code: 7, text: expect.stringContaining(words) });
    expect(refusal({ config, env: { CNI_COMMAND: 'CHECK' } }).code).toBe(7);
  });

  test.each([{ tenant: 7 }, { args: 'x' }, { args: { cni: { ips: [5] } } }, { runtimeConfig: 5 }, { prevResult: 'x' }])(
    'DEL succeeds for an ADD that was refused for %j',
    (config) => {
      expect(request({ config, env: { CNI_COMMAND: 'DEL' } }).config).toMatchObject(config);
    },
  );

  test('keeps fields it does not know, whatever their case', () => {
    const config = {
      capabilities: { portMappings: true, bandwidth: true, 'io.kubernetes.cri.pod-annotations': true },
      runtimeConfig: { portMappings: [{ HostPort: 80 }], bandwidth: { IngressRate: 1 }, ips: null, mac: '' },
      args: { cni: null, other: 5 },
      'cni.dev/other': 1,
      prevResult: null,
    };
    expect(request({ config }).config).toEqual(configuration(config));
  });

  test('the agent’s socket is the configuration’s, else the usual one', () => {
    expect(parse({ config: { agentSocket: '/tmp/a.sock' } })).toMatchObject({ agentSocket: '/tmp/a.sock' });
    expect(parse({})).toMatchObject({ agentSocket: '/run/tenet/agent.sock' });
  });

  test.each([null, undefined, [], [{ containerID: 'a', ifname: 'eth0' }]])(
    'GC takes the valid attachments %j',
    (valid) => {
      const { config } = request({ env: { CNI_COMMAND: 'GC' }, config: { 'cni.dev/valid-attachments': valid } });
      expect(config['cni.dev/valid-attachments']).toEqual(valid);
    },
  );

  test.each([{}, 'x', [{ containerID: 'a' }], [{ containerId: 'a', ifname: 'eth0' }], [null]])(
    'GC refuses the valid attachments %j: what is live could look dead',
    (valid) => {
      const call = { env: { CNI_COMMAND: 'GC' }, config: { 'cni.dev/valid-attachments': valid } };
      expect(refusal(call)).toMatchObject({ code: 7, text: expect.stringContaining('cni.dev/valid-attachments') });
    },
  );
});
