/**
 * One call of the CNI plugin, in either of two ways: the binary, in a process of its own as runtimes start it, or the code that the binary
 * is made of, in this process. They differ in how environment, stdin and stdout get there; tests that put up hundreds of containers as
 * scenery take the second, which saves the start of a program for each verb.
 */
import { spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { type Ask, NoAnswer } from '../../cni-plugin/agent-client.ts';
import { runPlugin } from '../../cni-plugin/plugin.ts';
import { netnsPath } from './probe/netns-path.ts';

export type PluginKind = 'binary' | 'in-process';

export interface PluginCall {
  /** CNI_* variables */
  readonly env: Readonly<Record<string, string>>;
  /** the network configuration */
  readonly stdin: string;
}

export interface PluginOutput {
  readonly stdout: string;
  readonly stderr: string;
  /** null: killed */
  readonly exitCode: number | null;
}

/** @param netns name of the node's namespace */
export async function callBinary(netns: string, bin: string, { env, stdin }: PluginCall): Promise<PluginOutput> {
  const child = spawn('nsenter', [`--net=${netnsPath(netns)}`, '--', bin], {
    stdio: 'pipe',
    env: { PATH: process.env.PATH, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined).end(stdin);
  const exitCode = await new Promise<number | null>((resolve, reject) =>
    child.on('error', reject).on('close', resolve),
  );
  return { stdout, stderr, exitCode };
}

export async function callInProcess({ env, stdin }: PluginCall): Promise<PluginOutput> {
  return { ...(await runPlugin(env, { readStdin: async () => stdin, ask })), stderr: '' };
}

/** The binary's `askAgent`, by Node's own socket. */
const ask: Ask = (socketPath, line, signal) =>
  new Promise((resolve, reject) => {
    const socket = createConnection(socketPath, () => socket.write(`${line}\n`));
    const fail = (why: string): void => reject(new NoAnswer(`${socketPath}: ${why}`));
    let heard = '';
    signal.addEventListener('abort', () => {
      fail(String(signal.reason));
      socket.destroy();
    });
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
      if (!heard.includes('\n')) return;
      resolve(heard.slice(0, heard.indexOf('\n')));
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => fail(`${error.syscall ?? 'socket'}: ${error.code}`));
    socket.on('close', () => fail('the connection was closed before an answer'));
  });
