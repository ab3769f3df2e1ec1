/**
 * The CNI execution protocol without its process: what the runtime sent (environment, stdin) to what is wanted of the agent, and
 * the agent's answer to what the runtime reads on stdout. Decides every error code of the binary. Pure: never touches a socket,
 * a stream or the process.
 */
import {
  type AgentRequest,
  type AgentResponse,
  CNI_ERROR,
  type CniCommand,
  type CniErrorBody,
} from './agent-protocol.ts';
import { CniError } from './cni-error.ts';
import { agentSocketOf, decodeConfig, parseConfig } from './config.ts';
import { type Environment, parseAttachment, parseCommand } from './environment.ts';
import { chainResult, convertResult } from './result.ts';
import {
  type CniVersion,
  isSupportedVersion,
  NEWEST_VERSION,
  negotiateVersion,
  SUPPORTED_VERSIONS,
} from './version.ts';

/** What one call of the binary asks for. */
export type Invocation =
  /** answered without the agent */
  | { readonly kind: 'version'; readonly cniVersion: string }
  | {
      readonly kind: 'agent';
      /** the version to answer in */
      readonly version: CniVersion;
      readonly agentSocket: string;
      readonly request: AgentRequest;
    };

/** What the process does in the end. */
export interface Outcome {
  /** one JSON object and a newline, or nothing */
  readonly stdout: string;
  /** @see CNI spec 1.1.0, section 2, "Errors" */
  readonly exitCode: 0 | 1;
}

/**
 * Parses one call.
 * @param stdin the network configuration as text; not looked at unless CNI_COMMAND is known
 * @throws CniError 1, 4, 6 or 7, naming the variable or field
 * @see CNI spec 1.1.0, section 2
 */
export function parseInvocation(env: Environment, stdin: string): Invocation {
  const command = parseCommand(env);
  if (command === 'VERSION') return { kind: 'version', cniVersion: statedVersion(stdin) ?? NEWEST_VERSION };
  const attachment = parseAttachment(command, env);
  const decoded = decodeConfig(stdin);
  const version = negotiateVersion(decoded.cniVersion, command);
  const config = parseConfig(command, decoded);
  return { kind: 'agent', version, agentSocket: agentSocketOf(config), request: { command, ...attachment, config } };
}

/** The answer to VERSION. @see CNI spec 1.1.0, section 5, "VERSION Success" */
export function formatVersions(cniVersion: string): Outcome {
  return success({ cniVersion, supportedVersions: SUPPORTED_VERSIONS });
}

/**
 * The runtime's view of the agent's answer: a result for ADD, silence for the others, or the agent's error.
 * @param response as parsed from the agent's line; judged here, for the agent may be of another version
 * @throws CniError 999 if it is no answer to this request
 */
export function formatResponse(invocation: Invocation & { kind: 'agent' }, response: unknown): Outcome {
  const { version, request } = invocation;
  const answer = parseResponse(response);
  if (!answer.ok) return formatError(answer.error, version);
  if (request.command !== 'ADD') return { stdout: '', exitCode: 0 };
  if (answer.result === undefined) throw notUnderstood('it has no result');
  const ours = convertResult(answer.result, version);
  const { prevResult } = request.config;
  return success(prevResult ? chainResult(prevResult as Readonly<Record<string, unknown>>, ours) : ours);
}

/** @see CNI spec 1.1.0, section 5, "Error" */
export function formatError(error: CniErrorBody, version: CniVersion = NEWEST_VERSION): Outcome {
  const { code, msg, details } = error;
  return { ...success({ cniVersion: version, code, msg, ...(details && { details }) }), exitCode: 1 };
}

/** The version an error about this stdin is told in: the one it states if Tenet speaks it, else the newest. */
export function versionForErrors(stdin: string): CniVersion {
  const stated = statedVersion(stdin);
  return isSupportedVersion(stated) ? stated : NEWEST_VERSION;
}

/**
 * No answer from the agent. All verbs are to be repeated: DEL too, for only the agent can tell that nothing is left behind.
 * @param why for a person, such as `connect /run/tenet/agent.sock: ENOENT`
 */
export function agentUnavailable(command: CniCommand, why: string): CniError {
  const code = command === 'STATUS' ? CNI_ERROR.pluginNotAvailable : CNI_ERROR.tryAgain;
  return new CniError(code, `tenet-agent on this node did not answer ${command}`, why);
}

/** The binary itself went wrong. */
export function internalError(error: unknown): CniErrorBody {
  if (error instanceof CniError) return error.body;
  return { code: CNI_ERROR.internal, msg: 'internal error in the tenet CNI plugin', details: String(error) };
}

function success(answer: object): Outcome {
  return { stdout: `${JSON.stringify(answer)}\n`, exitCode: 0 };
}

/** `cniVersion` of a configuration that may be anything. */
function statedVersion(stdin: string): string | undefined {
  try {
    const { cniVersion } = decodeConfig(stdin);
    return typeof cniVersion === 'string' && /^\d+\.\d+\.\d+$/.test(cniVersion) ? cniVersion : undefined;
  } catch {
    return undefined;
  }
}

function parseResponse(response: unknown): AgentResponse {
  const answer = response as AgentResponse | null | undefined;
  if (answer?.ok === true) {
    const { result } = answer;
    const lists: readonly unknown[] = result ? [result.interfaces, result.ips, result.routes] : [];
    if (lists.every(Array.isArray)) return answer;
  }
  if (answer?.ok === false && Number.isInteger(answer.error?.code) && typeof answer.error.msg === 'string')
    return answer;
  throw notUnderstood(`it was ${JSON.stringify(response)?.slice(0, 200)}`);
}

function notUnderstood(why: string): CniError {
  return new CniError(CNI_ERROR.internal, "tenet-agent's answer was not understood", why);
}
