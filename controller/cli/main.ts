#!/usr/bin/env node
/**
 * Entry of tenetctl: gives the program this process's arguments, environment and streams, and ends with its exit code.
 * Decides nothing.
 */
import { text } from 'node:stream/consumers';
import { run } from './program.ts';

// a reader that has seen enough (`tenetctl get tenants | head -1`) is no failure
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  out: (content) => process.stdout.write(content),
  err: (content) => process.stderr.write(content),
  readInput: () => text(process.stdin),
  nowMs: () => Date.now(),
  interrupted: () => {
    const interrupting = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupting.abort());
    return interrupting.signal;
  },
});
