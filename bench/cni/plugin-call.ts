/**
 * CNI plugins called as a runtime calls them: one process a verb, environment and stdin in, JSON out. The same way for every plugin:
 * started by this process inside its node's network namespace, timed from there to its end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { withNetns } from '../../dataplane/system/netns.ts';

export interface Plugin {
  readonly name: string;
  readonly binary: string;
  /** path of the node's network namespace */
  readonly hostNetns: string;
  /** of the configuration as the plugin gets it, `prevResult` aside */
  readonly config: object;
  /** CNI_ARGS */
  readonly args: string;
}

/** One interface of one container. */
export interface Attachment {
  readonly containerId: string;
  /** path of the container's network namespace */
  readonly netns: string;
  /** what ADD answered, for DEL */
  readonly result?: object;
}

export interface Answer {
  readonly result: object | undefined;
  readonly tookUs: number;
}

/** @throws Error with the plugin's own words, the signal's reason */
export async function callPlugin(
  plugin: Plugin,
  verb: 'ADD' | 'DEL',
  { containerId, netns, result }: Attachment,
  signal: AbortSignal,
): Promise<Answer> {
  const { binary, hostNetns, config, args } = plugin;
  const env = {
    PATH: process.env.PATH,
    CNI_COMMAND: verb,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth0',
    CNI_ARGS: args,
    CNI_PATH: dirname(binary),
  };
  const input = JSON.stringify(result === undefined ? config : { ...config, prevResult: result });
  signal.throwIfAborted();
  const started = performance.now();
  // The child is forked from this thread, where it is.
  const child = withNetns(hostNetns, () => spawn(binary, { stdio: 'pipe', env }));
  child.stdin.on('error', () => undefined).end(input);
  const { code, stdout, stderr } = await endOf(child);
  const tookUs = (performance.now() - started) * 1000;
  if (code !== 0) throw new Error(`${plugin.name}, ${verb} ended with ${code}: ${stdout}${stderr}`.trim());
  return { result: stdout.trim() === '' ? undefined : (JSON.parse(stdout) as object), tookUs };
}

/** What a child with pipes said, once it has ended. */
function endOf(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text;
    });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...said }));
  });
}
