/** The line a client of the agent's socket sends, as a request or a refusal. Shape alone: what it asks for is request.ts's. Pure. */
import { type AgentRequest, CNI_ERROR } from '../../agent-protocol.ts';
import { parseBoundedJson } from '../../bounded-json.ts';
import { CniError } from '../../cni-error.ts';
import { argsProblem, containerIdProblem, ifnameProblem, netnsProblem } from '../../environment.ts';

/**
 * Decodes the line the binary sends. The binary has checked more of it; this keeps whatever else connects from surprising a verb.
 * @throws CniError 6
 */
export function decodeRequest(line: string): AgentRequest {
  let decoded: unknown;
  try {
    decoded = parseBoundedJson(line);
  } catch (error) {
    throw new CniError(CNI_ERROR.decode, 'the request is not JSON that can be read', String(error));
  }
  const problem = requestProblem(decoded);
  if (problem !== undefined) throw new CniError(CNI_ERROR.decode, 'the request is malformed', problem);
  return decoded as AgentRequest;
}

function requestProblem(decoded: unknown): string | undefined {
  if (!isObject(decoded)) return 'it is not an object';
  const { command, containerId, netns, ifname, args, config } = decoded;
  if (typeof containerId !== 'string' || typeof netns !== 'string' || typeof ifname !== 'string') {
    return 'containerId, netns and ifname must be strings';
  }
  if (!isObject(args) || !isTexts(args)) return 'args must hold strings';
  const argsAre = argsProblem(args);
  if (argsAre !== undefined) return `args ${argsAre}`;
  if (!isObject(config)) return 'config must be an object';
  switch (command) {
    case 'ADD':
    case 'CHECK':
    case 'DEL': {
      const problem = containerIdProblem(containerId);
      if (problem !== undefined) return `containerId ${problem}`;
      const ifnameIs = ifnameProblem(ifname);
      if (ifnameIs !== undefined) return `ifname ${ifnameIs}`;
      const netnsIs = netns === '' ? undefined : netnsProblem(netns);
      return netnsIs === undefined ? undefined : `netns ${netnsIs}`;
    }
    case 'GC':
    case 'STATUS':
      return undefined;
    default:
      return `command ${JSON.stringify(command)?.slice(0, 80)} is unknown`;
  }
}

function isTexts(args: Readonly<Record<string, unknown>>): args is Readonly<Record<string, string>> {
  return Object.values(args).every((value) => typeof value === 'string');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
