/**
 * The programs iptables-save and iptables-restore: rules as text. Only where all rules are read or written at once; no change of a
 * member comes by here.
 */
import { execFile, execFileSync } from 'node:child_process';
import { ERRNO, isErrno, KernelError } from '../errors.ts';

/** `default` is whatever the host's own `iptables` is. @see iptables(8): nf_tables or the older kernel interface behind one language */
export type XtablesVariant = 'default' | 'nft' | 'legacy';

/** Another program may hold the lock of the older interface for so long. */
const LOCK_SECONDS = 5;
/** A table of tens of thousands of rules, as kube-proxy has. */
const MAX_OUTPUT = 256 * 2 ** 20;

export class Xtables {
  readonly #name: string;

  constructor(family: 4 | 6, variant: XtablesVariant = 'default') {
    this.#name = `${family === 4 ? 'iptables' : 'ip6tables'}${variant === 'default' ? '' : `-${variant}`}`;
  }

  /**
   * Which kernel interface it speaks to.
   * @throws KernelError, ENOENT when the program is not installed
   */
  variant(): 'nft' | 'legacy' {
    // Programs older than the choice say nothing of it.
    return this.#run('save', ['--version'], '').includes('nf_tables') ? 'nft' : 'legacy';
  }

  /** The program that speaks to the other kernel interface. @returns undefined where it is not installed */
  static other(family: 4 | 6, variant: XtablesVariant): Xtables | undefined {
    try {
      const own = variant === 'default' ? new Xtables(family).variant() : variant;
      const other = own === 'nft' ? 'legacy' : 'nft';
      const xtables = new Xtables(family, other);
      return xtables.variant() === other ? xtables : undefined;
    } catch (error) {
      if (isErrno(error, ERRNO.ENOENT)) return undefined;
      throw error;
    }
  }

  /** Every table. @throws KernelError with what the program said */
  save(): string {
    return this.#run('save', [], '');
  }

  /** As {@link save}, while this thread goes on. */
  saveLater(): Promise<string> {
    const program = `${this.#name}-save`;
    return new Promise((resolve, reject) => {
      execFile(program, { maxBuffer: MAX_OUTPUT }, (error, stdout) => {
        if (error === null) resolve(stdout);
        else reject(refused(program, error));
      });
    });
  }

  /** Each table of the input in one step; what it does not name stays. @throws KernelError with what the program said */
  restore(input: string): void {
    if (input !== '') this.#run('restore', ['--noflush', '-w', String(LOCK_SECONDS)], input);
  }

  #run(what: 'save' | 'restore', args: readonly string[], input: string): string {
    const program = `${this.#name}-${what}`;
    try {
      return execFileSync(program, args, { input, encoding: 'utf8', maxBuffer: MAX_OUTPUT, stdio: 'pipe' });
    } catch (error) {
      throw refused(program, error);
    }
  }
}

function refused(program: string, error: unknown): KernelError {
  if (isErrnoException(error) && error.code === 'ENOENT')
    return new KernelError('exec', program, ERRNO.ENOENT, { extack: 'package iptables is not installed' });
  const said = isErrnoException(error) && 'stderr' in error ? String(error.stderr).trim() : '';
  const [first = ''] = (said || String(error)).split('\n').filter((line) => !line.startsWith('#'));
  return new KernelError(program, 'rules', ERRNO.EINVAL, { extack: first });
}

function isErrnoException(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error;
}
