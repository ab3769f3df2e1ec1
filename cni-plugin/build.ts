/**
 * Builds the CNI binary: main.ts and what it imports, with Bun's run-time and the code's bytecode, as one executable. Its flags
 * keep it from reading `.env`, `bunfig.toml`, `package.json` and `tsconfig.json` where it is started: a CNI plugin runs as root in
 * the runtime's working directory. Build step only; never part of what ships.
 */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const FLAGS = [
  '--compile',
  '--bytecode',
  '--minify',
  '--no-compile-autoload-dotenv',
  '--no-compile-autoload-bunfig',
  '--no-compile-autoload-package-json',
  '--no-compile-autoload-tsconfig',
];

/**
 * @param outfile where the executable goes; its folder is made
 * @throws Error with the compiler's output if it fails
 */
export function buildPlugin(outfile: string): void {
  const here = dirname(fileURLToPath(import.meta.url));
  const bun = join(dirname(createRequire(import.meta.url).resolve('bun/package.json')), 'bin', 'bun.exe');
  execFileSync(bun, ['build', join(here, 'main.ts'), ...FLAGS, '--outfile', resolve(outfile)], { stdio: 'pipe' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildPlugin(process.argv[2] ?? 'dist/bin/tenet');
