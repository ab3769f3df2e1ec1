/** The line a client of the agent's socket sends, as a request or a refusal. Shape alone: what it asks for is request.ts's. Pure. */
import { type AgentRequest, CNI_ERROR } from '../agent-protocol.ts';
import { CniError } from '../cni-error.ts';
import { containerIdProblem, ifnameProblem } from '../environment.ts';

/**
 * Decodes the line the binary sends. The binary has checked more of it; this keeps whatever else connects from surprising a verb.
 * @throws CniError 6
 */
export function decodeRequest(line: string): AgentRequest {
  let decoded: unknown;
  try {
    decoded = JSON.parse(line);
  } catch (error) {
    throw new CniError(CNI_ERROR.decode, 'the request is not JSON', String(error));
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
  if (!isObject(args) || !Object.values(args).every((value) => typeof value === 'string'))
    return 'args must hold strings';
  if (!isObject(config)) return 'config must be an object';
  switch (command) {
    case 'ADD':
    case 'CHECK':
    case 'DEL': {
      const problem = containerIdProblem(containerId);
      if (problem !== undefined) return `containerId ${problem}`;
      const ifnameIs = ifnameProblem(ifname);
      return ifnameIs === undefined ? undefined : `ifname ${ifnameIs}`;
    }
    case 'GC':
    case 'STATUS':
      return undefined;
    default:
      return `command ${JSON.stringify(command)} is unknown`;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
