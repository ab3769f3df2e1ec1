/**
 * Commands of the documentation are run as a reader runs them, page after page in one cluster: they end as the page says, and print what it
 * shows. What a page leaves to its reader (names, addresses, files) is given here, and so is what cannot be run here, with its reason.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Container } from '../lab/container.ts';
import { type Lab, startLab } from '../lab/lab.ts';
import { waitFor } from '../lab/probe/deadline.ts';
import { ROOT } from '../lab/services.ts';
import { makeTenant } from './support/cluster.ts';
import { fenceOf, shapeOf, type Typed, typedInTables, typedOn } from './support/fences.ts';
import { type Finished, Shell } from './support/shell.ts';

/** Commands that are not run here, and why. */
const NOT_RUN: readonly (readonly [RegExp, string])[] = [
  [
    /^npm (run (demo|conformance|setup)|test)\b/,
    'its own lab or the set-up of the machine; test/e2e/lab.test.ts plays the demo',
  ],
  [/^node dist\/(controller|cni-plugin\/agent)\/main\.js /, 'the lab starts both, with flags of its own'],
  [/^--auto-compaction-mode/, 'flags of etcd, not a command'],
];

let lab: Lab;
let folder: string;
let shell: Shell;
let shop: Container;
let db: Container;
/** What pages write for something that the lab has. */
let given: readonly (readonly [text: string, value: string])[];

beforeAll(async () => {
  lab = await startLab({ nodes: 2 });
  folder = mkdtempSync(join(tmpdir(), 'tenet-documents-'));
  const server = lab.controllers[0]?.url ?? '';
  const { TENET_SERVER: _server, TENET_TOKEN: _token, TENET_TOKEN_FILE: _file, ...env } = process.env;
  shell = new Shell(folder, ROOT, { ...env, TENET_SERVER: server, TENET_TOKEN: lab.token });
  await shell.run(`alias tenetctl="node ${ROOT}/dist/controller/cli/main.js"`); // `npm link` makes it a command
  given = [
    ['http://127.0.0.1:PORT', server],
    ['TENET_TOKEN_FILE=PATH', `TENET_TOKEN_FILE=${lab.tokenFile}`],
    ['http://127.0.0.1:7480', server],
    ['web.yaml', file('web.yaml')],
    ['-f FILE -f FILE', `-f ${file('web.yaml')} -f ${file('red.yaml')}`],
    ['NAME -n web', 'web -n web'],
    ['backup FILE', `backup ${file('cluster.backup')}`],
    ['restore FILE', `restore ${file('cluster.backup')}`],
    [' cluster.backup', ` ${file('cluster.backup')}`],
    ['node7', 'node2'],
  ];
});
afterAll(async () => {
  await shell?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  await lab?.close();
});

const file = (name: string): string => join(folder, name);

/** Runs a command with what the page leaves open. @param code it should end with */
async function type({ command, output }: Typed, code = 0): Promise<Finished> {
  const filled = given.reduce((text, [open, value]) => text.replaceAll(open, value), command);
  const finished = await shell.run(filled);
  const said = `${filled}\n${finished.out}${finished.err}`;
  expect(finished.code, said).toBe(code);
  if (output !== undefined) expect(shapeOf(finished.out), said).toBe(shapeOf(output));
  const verdict = /# (ALLOWED|DENIED)/.exec(command)?.[1];
  if (verdict !== undefined) expect(finished.out).toMatch(new RegExp(`^${verdict}:`));
  return finished;
}

/** Commands of a page that can be run here. */
const runnable = (commands: readonly Typed[]): Typed[] =>
  commands.filter(({ command }) => !NOT_RUN.some(([pattern]) => pattern.test(command)));

async function typeAll(commands: readonly Typed[]): Promise<void> {
  expect(commands.length).toBeGreaterThan(0);
  for (const command of commands) await type(command);
}

test('install', async () => {
  await typeAll(runnable(typedOn('docs/install.md')));
  const { body } = await lab.rest<{ name: string }>('GET', '/v1/tenants/blue');
  expect(body.name).toBe('blue');
});

test('README: a first policy', async () => {
  await makeTenant(lab, 'red');
  for (const name of ['red-1', 'red-2']) await lab.attach('node1', { tenant: 'red', name });
  await typeAll(runnable(typedOn('README.md')));
});

test('policies', async () => {
  await type({ command: 'tenetctl create namespace web -t blue' });
  const attach = (name: string) =>
    lab.attach('node1', { tenant: 'blue', namespace: 'web', name, labels: { app: name } });
  shop = await attach('shop');
  db = await attach('db');
  await attach('web');
  const policy = fenceOf('docs/policies.md', 'yaml');
  writeFileSync(file('web.yaml'), policy);
  const { items } = (
    await lab.rest<{ items: { id: string; name: string }[] }>('GET', '/v1/tenants/blue/endpoints?limit=1000')
  ).body;
  given = [...given, ['endpoints/ID/', `endpoints/${items.find(({ name }) => name === 'web')?.id}/`]];
  for (const command of runnable(typedOn('docs/policies.md'))) {
    // As the page says before it.
    if (command.command.includes('--dry-run')) writeFileSync(file('web.yaml'), policy.replace('8080', '8443'));
    await type(command);
  }
  writeFileSync(file('web.yaml'), policy);
});

test('REST', async () => typeAll(runnable(typedOn('docs/rest.md'))));

test('troubleshoot', async () => {
  const spec = {
    podSelector: { matchLabels: { app: 'db' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'shop' } } }], ports: [{ port: 5432 }] }],
  };
  const path = '/v1/tenants/blue/namespaces/web/policies/db?wait=enforced&timeout=60s';
  expect((await lab.rest('PUT', path, spec)).status).toBe(201);
  const [explain, denials, ...others] = runnable(typedOn('docs/troubleshoot.md'));
  expect(others).toEqual([]);
  await type(explain ?? { command: '' });

  // The first is refused before they are followed, the second while they are.
  const denied = async () => (await lab.rest<{ items: unknown[] }>('GET', '/v1/tenants/blue/denials')).body.items;
  const call = (address: string, port: number) => lab.prober(shop).tcpConnect(address, port);
  await waitFor(async () => (await call(db.ip, 80)) && (await denied()).length > 0, { what: 'a denial is listed' });
  const wanted = (denials?.output ?? '').split('\n').flatMap((line) => (line === '' ? [] : [shapeOf(line)]));
  const printed = await shell.follow(
    denials?.command ?? '',
    async (output) => {
      if (/TIME/.test(output)) await call(lab.topology.manage[0]?.underlay ?? '', 2379);
      const lines = output.split('\n').map(shapeOf);
      return wanted.every((line) => lines.some((each) => each.replace(/ ×\d+/, '') === line));
    },
    (isSo) => waitFor(isSo, { what: 'denials are shown as the page shows them', timeoutMs: 60_000, everyMs: 200 }),
  );
  expect(printed.code).toBe(0);
});

test('tenetctl', async () => {
  writeFileSync(file('red.yaml'), 'apiVersion: tenet.dev/v1\nkind: Tenant\nmetadata: {name: red}\nspec: {}\n');
  // Pages above have asked for it already.
  expect((await lab.rest('DELETE', '/v1/tenants/blue/peerings/red')).status).toBe(204);
  /** Exit codes of the page for what is there already, is in use or is alive; the others are 0. */
  const codes = new Map([
    ['tenetctl create tenant blue', 4],
    ['tenetctl create namespace web -t blue', 4],
    ['tenetctl delete tenant blue', 4],
    ['tenetctl delete node node7', 4],
    // Without --yes.
    ['tenetctl restore FILE', 2],
  ]);
  const commands = typedInTables('docs/tenetctl.md');
  expect(commands.length).toBeGreaterThan(10);
  for (const command of commands) {
    if (command.command.includes('--follow')) continue; // above
    await type(command, codes.get(command.command) ?? 0);
  }
});

test('operate', async () => {
  const commands = runnable(typedOn('docs/operate.md'));
  await lab.killAgent('node2', 'SIGTERM');
  await waitFor(async () => (await lab.rest<{ live: boolean }>('GET', '/v1/nodes/node2')).body.live === false, {
    what: 'node2 counts as dead',
    timeoutMs: 60_000,
  });
  await typeAll(commands);
  const { status } = await lab.rest('GET', '/v1/nodes/node2');
  expect(status).toBe(404);
});

test('every command of these pages is run above, or is told why not', () => {
  const pages = [
    'README.md',
    ...['install', 'policies', 'rest', 'troubleshoot', 'operate'].map((name) => `docs/${name}.md`),
  ];
  const commands = pages.flatMap(typedOn).map(({ command }) => command);
  expect(commands.filter((command) => !/^(tenetctl|curl|export|alias) /.test(command))).toEqual(
    commands.filter((command) => NOT_RUN.some(([pattern]) => pattern.test(command))),
  );
  for (const [pattern, why] of NOT_RUN)
    expect(
      commands.some((command) => pattern.test(command)),
      why,
    ).toBe(true);
  expect(readFileSync(join(ROOT, 'docs/tenetctl.md'), 'utf8')).not.toContain('```');
});
