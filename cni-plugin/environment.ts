/**
 * The CNI_* variables of one call: which verb needs which, and what each may hold. Takes the environment as a map; never reads
 * the process's. Pure.
 */
import { CNI_ERROR, type CniCommand } from './agent-protocol.ts';
import { CniError } from './cni-error.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What says which container interface is meant. Empty for GC and STATUS. */
export interface Attachment {
  readonly containerId: string;
  /** absolute path; empty where a DEL comes after the namespace is gone */
  readonly netns: string;
  readonly ifname: string;
  readonly args: Readonly<Record<string, string>>;
}

/** Of an id: what runtimes give has 64 characters. It names the endpoint's record. */
const CONTAINER_ID_LIMIT = 255;
/** PATH_MAX is 4096 with its NUL. @see include/uapi/linux/limits.h */
const PATH_LIMIT = 4095;
/** Of CNI_ARGS; kubelet's five keys have some 300 characters. */
const ARGS_LIMIT = 16 * 1024;
/** Keys of CNI_ARGS. */
const ARGS_KEYS_LIMIT = 64;

const COMMANDS: readonly string[] = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'];

/** @throws CniError 4 */
export function parseCommand(env: Environment): CniCommand | 'VERSION' {
  const command = env.CNI_COMMAND ?? '';
  if (COMMANDS.includes(command)) return command as CniCommand | 'VERSION';
  const what = command === '' ? 'is missing' : `${show(command)} is unknown`;
  throw new CniError(
    CNI_ERROR.invalidEnvironment,
    `CNI_COMMAND ${what}`,
    `tenet is a CNI plugin, run by container runtimes; one of ${COMMANDS.join(', ')}`,
  );
}

/**
 * Reads what the verb needs, and names every variable at fault at once. DEL is lenient: what ADD would refuse cannot have
 * been added, and a DEL must succeed for what is not there. CNI_PATH is not asked for, because Tenet delegates to no plugin.
 * @throws CniError 4
 */
export function parseAttachment(command: CniCommand, env: Environment): Attachment {
  if (command === 'GC' || command === 'STATUS') return { containerId: '', netns: '', ifname: '', args: {} };
  const problems: Problem[] = [];
  const containerId = env.CNI_CONTAINERID ?? '';
  const ifname = env.CNI_IFNAME ?? '';
  const netns = env.CNI_NETNS ?? '';
  check(problems, 'CNI_CONTAINERID', containerIdProblem(containerId));
  check(problems, 'CNI_IFNAME', ifnameProblem(ifname));
  if (command !== 'DEL') check(problems, 'CNI_NETNS', netnsProblem(netns));
  const args = parseArgs(env.CNI_ARGS ?? '', command === 'DEL' ? [] : problems);
  if (problems.length > 0) {
    throw new CniError(
      CNI_ERROR.invalidEnvironment,
      `invalid environment: ${[...new Set(problems.map((problem) => problem.variable))].join(', ')}`,
      problems.map((problem) => `${problem.variable} ${problem.message}`).join('; '),
    );
  }
  return { containerId, netns: netnsProblem(netns) === undefined ? netns : '', ifname, args };
}

interface Problem {
  readonly variable: string;
  readonly message: string;
}

function check(problems: Problem[], variable: string, message: string | undefined): void {
  if (message !== undefined) problems.push({ variable, message });
}

/** @returns what is wrong with it, if anything @see CNI spec 1.1.0, section 2, "Parameters" */
export function containerIdProblem(containerId: string): string | undefined {
  if (containerId === '') return 'is missing';
  if (containerId.length > CONTAINER_ID_LIMIT) return `is longer than ${CONTAINER_ID_LIMIT} characters`;
  if (/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(containerId)) return undefined;
  return `${show(containerId)} must be letters, digits, "_", "." and "-", beginning with a letter or digit`;
}

/** @returns what is wrong with it, if anything @see net/core/dev.c, dev_valid_name; IFNAMSIZ is 16 with its NUL */
export function ifnameProblem(ifname: string): string | undefined {
  if (ifname === '') return 'is missing';
  const shown = show(ifname);
  // The kernel counts bytes. Every character beyond ASCII has at least two.
  if ([...ifname].reduce((bytes, char) => bytes + utf8Length(char), 0) > 15) return `${shown} is longer than 15 bytes`;
  if (ifname === '.' || ifname === '..') return `${shown} is not an interface name`;
  if (/[/:\s]/.test(ifname)) return `${shown} must not hold "/", ":" or white space`;
  // The kernel expands "%d" to a free number, and control characters would reach terminals and logs.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\x00-\x1f\x7f%]/.test(ifname)) return `${shown} must not hold "%" or control characters`;
  return undefined;
}

function utf8Length(char: string): number {
  const point = char.codePointAt(0) ?? 0;
  if (point < 0x80) return 1;
  if (point < 0x800) return 2;
  return point < 0x10000 ? 3 : 4;
}

/**
 * The agent has another working directory than the runtime, so a relative path would name something else.
 * @returns what is wrong with it, if anything
 */
export function netnsProblem(netns: string): string | undefined {
  if (netns === '') return 'is missing';
  if (netns.length > PATH_LIMIT || netns.includes('\0')) return `must be a path of at most ${PATH_LIMIT} characters`;
  return netns.startsWith('/') ? undefined : `${show(netns)} must be an absolute path`;
}

/** @returns what is wrong with CNI_ARGS once split, if anything */
export function argsProblem(args: Readonly<Record<string, string>>): string | undefined {
  const pairs = Object.entries(args);
  return amountProblem(
    pairs.length,
    pairs.reduce((sum, [key, value]) => sum + key.length + value.length, 0),
  );
}

function amountProblem(keys: number, characters: number): string | undefined {
  if (keys > ARGS_KEYS_LIMIT) return `has more than ${ARGS_KEYS_LIMIT} keys`;
  return characters > ARGS_LIMIT ? `is longer than ${ARGS_LIMIT} characters` : undefined;
}

/** The value for a person: JSON, cut short. */
function show(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}

/**
 * Splits `K=V;K=V`. Values may be empty (podman's `MAC=;IP=`) and may hold `=`. A key given twice with two values is refused:
 * K8S_POD_NAMESPACE decides the tenant, so it must not depend on who reads first.
 */
function parseArgs(text: string, problems: Problem[]): Readonly<Record<string, string>> {
  const args = new Map<string, string>();
  const pairs = text.split(';').filter((pair) => pair !== '');
  const amount = amountProblem(pairs.length, text.length);
  if (amount !== undefined) {
    check(problems, 'CNI_ARGS', amount);
    return {};
  }
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    const key = pair.slice(0, equals);
    const value = pair.slice(equals + 1);
    if (equals < 1) check(problems, 'CNI_ARGS', `holds ${show(pair)}, which is not KEY=VALUE`);
    else if (args.has(key) && args.get(key) !== value)
      check(problems, 'CNI_ARGS', `gives ${show(key)} twice, differently`);
    else args.set(key, value);
  }
  return Object.fromEntries(args);
}
