/**
 * What a command gets from the process it runs in, so that tests can run commands without one. Types only.
 */
import type { Command } from 'commander';
import type { Connection } from './connection.ts';

/** Environment, streams and clock. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** all of standard input */
  readonly readInput: () => Promise<string>;
  readonly nowMs: () => number;
  /** Aborts when the user interrupts, which ends the process no longer from this call on. */
  readonly interrupted: () => AbortSignal;
}

/** What a command's action works with. */
export interface Session extends Terminal {
  readonly connection: Connection;
}

/** Opens the session a command works with; called by actions, so that `--help` needs no server. */
export type OpenSession = (command: Command) => Session;
