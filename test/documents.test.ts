/**
 * Documents do not rot: what they link to is there, the commands in their fences are ones that programs take, and the pages that are to be
 * short are. Commands are parsed here, by the programs' own parsers; test/e2e/documents.test.ts runs those of the pages on use.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseConfig as parseAgent } from '../cni-plugin/agent/config.ts';
import { run } from '../controller/cli/program.ts';
import { parseConfig as parseController } from '../controller/config.ts';

const ROOT = join(import.meta.dirname, '..');
const PAGES = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'],
  ...['bench/README.md', 'bench/results/README.md'],
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8');

describe('links', () => {
  test.each(PAGES)('of %s lead somewhere', (page) => {
    const text = withoutFences(textOf(page));
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$/gm)].map(
      ([, inline, named]) => inline ?? named ?? '',
    );
    const broken = targets.filter((target) => !/^https?:/.test(target) && !leads(page, target));
    expect(broken).toEqual([]);
  });

  test('that are broken are seen', () => {
    expect(leads('README.md', 'docs/install.md#agent')).toBe(true);
    expect(leads('README.md', 'docs/install.md#nothing')).toBe(false);
    expect(leads('README.md', 'docs/nothing.md')).toBe(false);
  });
});

function leads(page: string, target: string): boolean {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? page : relative(ROOT, join(ROOT, dirname(page), path));
  if (!existsSync(join(ROOT, file))) return false;
  return anchor === undefined || anchorsOf(textOf(file)).has(anchor);
}

/** Headings as code hosts make anchors of them. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...withoutFences(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

function withoutFences(text: string): string {
  return text.replace(/^ *```[\s\S]*?^ *```$/gm, '');
}

/** Lines of a page's fences of commands; of a console's those that a person typed. Here-documents and comments are left out. */
function commandsOf(page: string): string[] {
  const fences = [...textOf(page).matchAll(/^ *```(sh|console)\n([\s\S]*?)^ *```$/gm)];
  return fences.flatMap(([, kind, body = '']) => {
    const script = body.replaceAll(/\\\n\s*/g, '').replaceAll(/<<'END'\n[\s\S]*?^END$/gm, '');
    const lines = script.split('\n').map((line) => line.trim());
    const typed = kind === 'console' ? lines.flatMap((line) => /^\$ (.*)$/.exec(line)?.[1] ?? []) : lines;
    return typed.map((line) => line.replace(/\s+#.*$/, ''));
  });
}

const COMMANDS = PAGES.flatMap((page) => commandsOf(page).map((command) => ({ page, command })));
/** Commands that begin so, with what follows. */
const startingWith = (program: string) =>
  COMMANDS.flatMap(({ page, command }) => {
    const found = command.startsWith(`${program} `) ? command.slice(program.length + 1) : undefined;
    return found === undefined ? [] : [{ page, args: found.split(/\s+/).filter((word) => word !== '') }];
  });

describe('commands', () => {
  test.each(startingWith('tenetctl'))('of $page: tenetctl $args', async ({ args }) => {
    expect(await complaintOf(args)).toBe('');
  });

  test.each(startingWith('node dist/controller/main.js'))('of $page: controller $args', ({ args }) => {
    parseController(args, {}, '0', () => undefined);
  });

  test.each(startingWith('node dist/cni-plugin/agent/main.js'))('of $page: agent $args', ({ args }) => {
    parseAgent(args, 'node1');
  });

  test.each(startingWith('npm run'))('of $page: npm run $args', ({ args }) => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    expect(Object.keys(scripts)).toContain(args[0]);
  });

  test('that do not exist are seen, and there are some of each kind', async () => {
    expect(await complaintOf(['get', 'tenants', '--frum'])).toMatch(/unknown option/);
    expect(await complaintOf(['explode'])).toMatch(/unknown command/);
    for (const program of ['tenetctl', 'npm run', 'node dist/controller/main.js', 'node dist/cni-plugin/agent/main.js'])
      expect(startingWith(program).length).toBeGreaterThan(0);
  });
});

/** What tenetctl has against a command line itself; that there is no controller to ask, or no such file, is none of it. */
async function complaintOf(args: readonly string[]): Promise<string> {
  let said = '';
  await run(args, {
    env: { TENET_SERVER: 'unix:/nonexistent/socket', TENET_TOKEN: 'x' },
    out: () => undefined,
    err: (text) => (said += text),
    readInput: async () => '',
    nowMs: () => 0,
    interrupted: () => new AbortController().signal,
  });
  return /unknown|missing|invalid|required|argument/.test(said) ? said : '';
}

test.each([
  ['README.md', 120],
  ['ARCHITECTURE.md', 300],
])('%s has at most %i lines', (page, most) => {
  expect(textOf(page).trimEnd().split('\n').length).toBeLessThanOrEqual(most);
});
