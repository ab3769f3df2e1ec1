/** One bash to which commands are given as a person types them: what one sets, the next one has. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';

/** What a command left. */
export interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class Shell {
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #folder: string;

  /** @param folder where output is kept @param cwd where commands run */
  constructor(folder: string, cwd: string, env: NodeJS.ProcessEnv) {
    this.#child = spawn('bash', ['--noprofile', '--norc'], { cwd, env, stdio: ['pipe', 'pipe', 'inherit'] });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error('bash has no output');
    this.#lines = createInterface({ input: stdout });
    this.#folder = folder;
    // Aliases are for people; and curl says by its exit code what it was answered.
    this.#type('shopt -s expand_aliases\ncurl() { command curl --silent --show-error --fail-with-body "$@"; }\n');
  }

  async run(command: string): Promise<Finished> {
    const [out, err] = [join(this.#folder, 'out'), join(this.#folder, 'err')];
    const ended = once(this.#lines, 'line');
    this.#type(`{\n${command}\n} >'${out}' 2>'${err}' </dev/null\nprintf '%s\\n' "$?"\n`);
    const [code] = (await ended) as [string];
    return { code: Number(code), out: readFileSync(out, 'utf8'), err: readFileSync(err, 'utf8') };
  }

  /** Runs a command that goes on for ever until `isSeen` is true of its output, then interrupts it. */
  async follow(command: string, isSeen: (output: string) => boolean | Promise<boolean>, wait: Wait): Promise<Finished> {
    const path = join(this.#folder, 'followed');
    const { out: pid } = await this.run(`${command} >'${path}' 2>&1 & printf '%s' "$!"`);
    try {
      await wait(async () => await isSeen(readFileSync(path, 'utf8')));
    } finally {
      await this.run(`kill -INT ${pid}`);
    }
    const { code } = await this.run(`wait ${pid}`);
    return { code, out: readFileSync(path, 'utf8'), err: '' };
  }

  async close(): Promise<void> {
    const closed = once(this.#child, 'close');
    this.#child.stdin?.end();
    await closed;
  }

  #type(text: string): void {
    this.#child.stdin?.write(text);
  }
}

type Wait = (isSo: () => Promise<boolean>) => Promise<unknown>;
