/**
 * Builds what runs: the CNI binary, and each program as one file of JavaScript with its libraries in it. A program of a thousand small
 * modules takes longer to find and read them than to start. Build step only; never part of what ships.
 *
 *   node programs    dist/controller/main.js, dist/controller/cli/main.js, dist/cni-plugin/agent/main.js, over dist/chunks
 *   CNI binary       dist/bin/tenet: main.ts and what it imports, with Bun's run-time and the code's bytecode
 *
 * The binary's flags keep it from reading `.env`, `bunfig.toml`, `package.json` and `tsconfig.json` where it is started: a CNI plugin runs
 * as root in the runtime's working directory.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(import.meta.dirname, '..');
const require = createRequire(import.meta.url);

const BINARY_FLAGS = [
  '--compile',
  '--bytecode',
  '--minify',
  '--no-compile-autoload-dotenv',
  '--no-compile-autoload-bunfig',
  '--no-compile-autoload-package-json',
  '--no-compile-autoload-tsconfig',
];

const PROGRAMS = ['controller/main.ts', 'controller/cli/main.ts', 'cni-plugin/agent/main.ts'];
/** They look for files beside their own: machine code, pages, a worker. */
const LEFT_ALONE = ['koffi', '@fastify/swagger', '@fastify/swagger-ui', 'pino'];

function bun(...args: string[]): void {
  const program = join(dirname(require.resolve('bun/package.json')), 'bin', 'bun.exe');
  execFileSync(program, ['build', ...args], { stdio: 'pipe', cwd: ROOT });
}

/**
 * @param outfile where the executable goes; its folder is made
 * @throws Error with the compiler's output if it fails
 */
export function buildPlugin(outfile: string): void {
  bun('cni-plugin/main.ts', ...BINARY_FLAGS, '--outfile', resolve(outfile));
}

/**
 * @param outdir where programs go, by the paths of their sources; whatever is there under these names is replaced
 * @throws Error with the compiler's output if it fails, or if a program cannot say what its flags are
 */
export function buildPrograms(outdir: string): void {
  const out = resolve(outdir);
  rmSync(join(out, 'chunks'), { recursive: true, force: true });
  bun(
    ...PROGRAMS,
    ...['--root', '.', '--outdir', out, '--target', 'node', '--format', 'esm'],
    ...['--splitting', '--chunk-naming', 'chunks/[name]-[hash].[ext]', '--sourcemap=linked'],
    // etcd3 reads its protocol from the folder next to the one it is in.
    ...['--define', '__dirname=folderOfThisFile', '--banner', 'const folderOfThisFile = import.meta.dirname;'],
    ...LEFT_ALONE.flatMap((name) => ['--external', name]),
  );
  cpSync(join(dirname(require.resolve('etcd3')), '..', 'proto'), join(out, 'proto'), { recursive: true });
  for (const program of PROGRAMS)
    execFileSync(process.execPath, [join(out, program.replace(/\.ts$/, '.js')), '--help'], { stdio: 'pipe' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const out = process.argv[2] ?? join(ROOT, 'dist');
  buildPrograms(out);
  buildPlugin(join(out, 'bin', 'tenet'));
}
