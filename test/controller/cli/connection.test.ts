/**
 * How tenetctl finds its server and its token, reads lists, and turns every way of failing into an exit code and words: against
 * a scripted HTTP server, for a healthy controller answers few of these.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { tenetctl } from './tenetctl.ts';

interface Answer {
  readonly status?: number;
  readonly body?: unknown;
}

/** An HTTP server that answers as told and remembers what it was asked. @param path of a unix socket, else TCP */
async function serve(answer: (request: IncomingMessage) => Answer, path?: string) {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    const { status = 200, body } = answer(request);
    response.writeHead(status, { 'content-type': 'application/problem+json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
  );
  onTestFinished(() => void server.close());
  const url = path === undefined ? `http://127.0.0.1:${(server.address() as AddressInfo).port}` : `unix:${path}`;
  return { url, requests };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tenetctl-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

const empty = () => ({ body: { items: [] } });

describe('the server', () => {
  test('is found by option before environment', async () => {
    const { url, requests } = await serve(empty);
    expect(await tenetctl(['get', 'nodes', '--server', url], { TENET_SERVER: 'http://127.0.0.1:1' })).toMatchObject({
      code: 0,
    });
    expect(await tenetctl(['get', 'nodes'], { TENET_SERVER: url })).toMatchObject({ code: 0 });
    expect(requests).toHaveLength(2);
  });

  test('answers on a unix socket', async () => {
    const { url, requests } = await serve(empty, join(temporaryFolder(), 'api.sock'));
    expect(await tenetctl(['get', 'nodes', '-o', 'json', '--server', url])).toMatchObject({
      code: 0,
      out: '{\n  "items": []\n}\n',
    });
    expect(requests[0]?.url).toBe('/v1/nodes?limit=500');
  });

  test.each(['127.0.0.1:7480', 'https://127.0.0.1', 'http://127.0.0.1/v1', 'unix:relative', 'ftp://x'])(
    'named as %s is a usage error',
    async (server) => {
      const { code, err } = await tenetctl(['get', 'nodes', '--server', server]);
      expect(code).toBe(2);
      expect(err).toContain('is neither http://HOST:PORT nor unix:/PATH');
    },
  );

  test('that is not there: exit code 6 and what to do', async () => {
    for (const [server, reason] of [
      ['http://127.0.0.1:1', 'nothing listens there'],
      [`unix:${temporaryFolder()}/none.sock`, 'there is no such socket'],
    ] as const) {
      const { code, out, err } = await tenetctl(['get', 'tenants', '--server', server]);
      expect({ code, out }).toEqual({ code: 6, out: '' });
      expect(err).toContain(`tenetctl: cannot reach ${server}: ${reason}\n  hint: is tenet-controller running there?`);
    }
  });

  test('that cuts the connection: exit code 6', async () => {
    const { url } = await serve((request) => {
      request.socket.destroy();
      return {};
    });
    expect(await tenetctl(['get', 'tenants', '--server', url])).toMatchObject({ code: 6 });
  });

  test('that is no controller: exit code 1', async () => {
    const { url } = await serve(() => ({ body: '<html>hello</html>' }));
    const { code, err } = await tenetctl(['get', 'tenants', '--server', url]);
    expect(code).toBe(1);
    expect(err).toContain("is it Tenet's controller?");
  });
});

describe('the token', () => {
  test('is taken from the option, the environment, or nowhere', async () => {
    const { url, requests } = await serve(empty);
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a'), 'secret-a\n');
    writeFileSync(join(folder, 'b'), 'secret-b\n');
    const env = { TENET_SERVER: url, TENET_TOKEN_FILE: join(folder, 'b'), TENET_TOKEN: 'secret-c' };
    await tenetctl(['get', 'nodes', '--token-file', join(folder, 'a')], env);
    await tenetctl(['get', 'nodes'], env);
    await tenetctl(['get', 'nodes'], { ...env, TENET_TOKEN_FILE: '' });
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer secret-a',
      'Bearer secret-b',
      'Bearer secret-c',
    ]);
  });

  test('in a file that was named and is not there: exit code 2, nothing sent', async () => {
    const { url, requests } = await serve(empty);
    const { code, err } = await tenetctl(['get', 'nodes', '--server', url, '--token-file', '/nowhere/token']);
    expect(code).toBe(2);
    expect(err).toBe('tenetctl: token-file: /nowhere/token cannot be read: it does not exist\n');
    expect(requests).toEqual([]);
  });

  test('that is wrong: exit code 5, says where it came from and never what it is', async () => {
    const { url } = await serve(() => ({ status: 401, body: { title: 'Unauthorized', detail: 'a token is needed' } }));
    const { code, err } = await tenetctl(['get', 'tenants', '--server', url], { TENET_TOKEN: 'hush' });
    expect(code).toBe(5);
    expect(err).toContain('the token sent is not the right one; it was looked for in TENET_TOKEN');
    expect(err).not.toContain('hush');
  });
});

describe('a refusal becomes an exit code', () => {
  test.each([
    [400, 2],
    [401, 5],
    [403, 5],
    [404, 3],
    [409, 4],
    [412, 4],
    [418, 1],
    [422, 2],
    [500, 1],
    [503, 6],
  ])('status %i: %i', async (status, code) => {
    const { url } = await serve(() => ({ status, body: { detail: 'because' } }));
    const outcome = await tenetctl(['create', 'tenant', 'blue', '--server', url]);
    expect(outcome).toMatchObject({ code, out: '' });
    expect(outcome.err).toMatch(/^tenetctl: because\n/);
  });

  test('with every field at fault on a line of its own', async () => {
    const errors = [
      { field: 'subnets[0]', message: 'is not a CIDR' },
      { field: 'name', message: 'is too long' },
    ];
    const { url } = await serve(() => ({ status: 400, body: { detail: 'invalid', code: 'invalid_input', errors } }));
    const { err } = await tenetctl(['create', 'tenant', 'blue', '--server', url]);
    expect(err).toBe('tenetctl: subnets[0]: is not a CIDR\ntenetctl: name: is too long\n');
  });

  test('without words of its own', async () => {
    const { url } = await serve(() => ({ status: 502, body: '<html>Bad Gateway</html>' }));
    const { code, err } = await tenetctl(['get', 'tenants', '--server', url]);
    expect(code).toBe(1);
    expect(err).toMatch(/^tenetctl: the server answered with status 502 and no explanation\n/);
    expect(err).not.toMatch(/ {4}at /);
  });
});

describe('a list', () => {
  test('is read to its last page, and printed as one', async () => {
    const pages = [
      { items: [{ name: 'a' }, { name: 'b' }], continue: 'x/y==', revision: 7 },
      { items: [{ name: 'c' }], revision: 9 },
    ];
    const { url, requests } = await serve(() => ({ body: pages[requests.length - 1] }));
    const { out } = await tenetctl(['get', 'nodes', '-o', 'json', '--server', url]);
    expect(JSON.parse(out)).toEqual({ items: [{ name: 'a' }, { name: 'b' }, { name: 'c' }], revision: 7 });
    expect(new URL(requests[1]?.url ?? '', url).searchParams.get('continue')).toBe('x/y==');
  });

  test('that breaks off is a failure, with nothing on stdout', async () => {
    const { url, requests } = await serve(() =>
      requests.length === 1 ? { body: { items: [{ name: 'a' }], continue: 'x' } } : { status: 500, body: {} },
    );
    expect(await tenetctl(['get', 'nodes', '--server', url])).toMatchObject({ code: 1, out: '' });
  });

  test('that is empty has no row, and says so beside', async () => {
    const { url } = await serve(empty);
    expect(await tenetctl(['get', 'nodes', '--server', url])).toEqual({ code: 0, out: '', err: 'No nodes found.\n' });
  });
});
