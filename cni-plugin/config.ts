/**
 * The network configuration of one call: JSON from the runtime's stdin, of which the fields Tenet reads are checked for shape.
 * What they mean (is it a label, is the address free) is for the agent. Unknown fields are kept. Pure.
 */
import { CNI_ERROR, type CniCommand, DEFAULT_AGENT_SOCKET, type NetworkConfig } from './agent-protocol.ts';
import { parseBoundedJson, TooMuchJson } from './bounded-json.ts';
import { CniError } from './cni-error.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** sun_path holds 108 bytes with its NUL. @see include/uapi/linux/un.h */
const SOCKET_PATH_LIMIT = 107;

/** @throws CniError 6 unless it is one JSON object, 7 if it is more than is parsed */
export function decodeConfig(stdin: string): JsonObject {
  if (stdin.trim() === '') throw new CniError(CNI_ERROR.decode, 'no network configuration on stdin', 'it was empty');
  let decoded: unknown;
  try {
    decoded = parseBoundedJson(stdin);
  } catch (error) {
    if (error instanceof TooMuchJson) {
      throw new CniError(CNI_ERROR.invalidConfig, `network configuration has too much in it: ${error.message}`);
    }
    throw new CniError(CNI_ERROR.decode, 'the network configuration on stdin is not JSON', String(error));
  }
  if (isObject(decoded)) return decoded;
  throw new CniError(
    CNI_ERROR.decode,
    'the network configuration on stdin is not a JSON object',
    `was ${show(decoded)}`,
  );
}

/**
 * Checks the fields the verb reads. DEL reads least: it must succeed for an ADD that was refused for its configuration.
 * @throws CniError 7 that names the field
 */
export function parseConfig(command: CniCommand, config: JsonObject): NetworkConfig {
  if (typeof config.name !== 'string' || !/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}$/.test(config.name)) {
    throw invalid('name', 'up to 255 letters, digits, "_", "." and "-", a letter or digit first', config.name);
  }
  if (typeof config.type !== 'string' || config.type === '') throw invalid('type', "the plugin's name", config.type);
  optional(config, 'agentSocket', requireSocketPath);
  if (command === 'ADD' || command === 'CHECK') {
    optional(config, 'tenant', requireText);
    optional(config, 'args', requireArgs);
    optional(config, 'runtimeConfig', requireRuntimeConfig);
    optional(config, 'prevResult', requireObject);
  }
  if (command === 'GC') optional(config, 'cni.dev/valid-attachments', requireAttachments);
  return config as unknown as NetworkConfig;
}

/** Where this configuration's agent listens. */
export function agentSocketOf(config: NetworkConfig): string {
  return config.agentSocket ?? DEFAULT_AGENT_SOCKET;
}

type Check = (path: string, value: unknown) => void;

/** Runtimes write `null` for what they do not set; that and absence are the same. */
function optional(object: JsonObject, key: string, check: Check, parent = ''): void {
  const value = object[key];
  if (value !== undefined && value !== null) check(`${parent}${key}`, value);
}

function requireArgs(path: string, value: unknown): void {
  // `args` is anyone's; the conventions give Tenet what is under `cni`.
  optional(requireObject(path, value), 'cni', requireCniArgs, `${path}.`);
}

/** @see CNI conventions, '"args" in network config'; tenant and ports are Tenet's own */
function requireCniArgs(path: string, value: unknown): void {
  const args = requireObject(path, value);
  optional(args, 'tenant', requireText, `${path}.`);
  optional(args, 'labels', listOf(requireLabel), `${path}.`);
  optional(args, 'ports', listOf(requirePort), `${path}.`);
  optional(args, 'ips', listOf(requireIp), `${path}.`);
}

/** Other capabilities (portMappings, bandwidth) are for chained plugins: kept, not looked at. */
function requireRuntimeConfig(path: string, value: unknown): void {
  const capabilities = requireObject(path, value);
  optional(capabilities, 'ips', listOf(requireIp), `${path}.`);
  optional(capabilities, 'mac', requireMac, `${path}.`);
}

function requireLabel(path: string, value: unknown): void {
  const label = requireObject(path, value);
  requireText(`${path}.key`, label.key);
  if (typeof label.value !== 'string') throw invalid(`${path}.value`, 'a string', label.value);
}

function requirePort(path: string, value: unknown): void {
  const port = requireObject(path, value);
  requireText(`${path}.name`, port.name);
  const number = port.containerPort;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 1 || number > 65535) {
    throw invalid(`${path}.containerPort`, 'a whole number from 1 to 65535', number);
  }
  optional(port, 'protocol', requireText, `${path}.`);
}

/** A wrong list would make live attachments look dead, so nothing about it is guessed. */
function requireAttachments(path: string, value: unknown): void {
  listOf((itemPath, item) => {
    const attachment = requireObject(itemPath, item);
    requireText(`${itemPath}.containerID`, attachment.containerID);
    requireText(`${itemPath}.ifname`, attachment.ifname);
  })(path, value);
}

/** The shape alone: the agent parses it. */
function requireIp(path: string, value: unknown): void {
  if (typeof value !== 'string' || !/^[0-9a-fA-F:.]+(\/\d{1,3})?$/.test(value)) {
    throw invalid(path, 'an IP address such as 10.0.0.7 or 10.0.0.7/24', value);
  }
}

function requireMac(path: string, value: unknown): void {
  // An empty one means "any", as in podman's CNI_ARGS.
  if (value === '') return;
  if (typeof value !== 'string' || !/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(value)) {
    throw invalid(path, 'a MAC address such as 02:00:00:00:00:07', value);
  }
}

function requireSocketPath(path: string, value: unknown): void {
  if (typeof value !== 'string' || !value.startsWith('/') || value.includes('\0') || value.length > SOCKET_PATH_LIMIT) {
    throw invalid(path, `an absolute path of at most ${SOCKET_PATH_LIMIT} characters`, value);
  }
}

function requireText(path: string, value: unknown): void {
  if (typeof value !== 'string' || value === '') throw invalid(path, 'a string that is not empty', value);
}

function listOf(check: Check): Check {
  return (path, value) => {
    if (!Array.isArray(value)) throw invalid(path, 'a list', value);
    for (const [index, item] of value.entries()) check(`${path}[${index}]`, item);
  };
}

function requireObject(path: string, value: unknown): JsonObject {
  if (!isObject(value)) throw invalid(path, 'an object', value);
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(path: string, expected: string, given: unknown): CniError {
  const what = given === undefined ? 'is missing' : `was ${show(given)}`;
  return new CniError(CNI_ERROR.invalidConfig, `network configuration: ${path} must be ${expected}`, `${path} ${what}`);
}

/** The value for a person: JSON, cut short. */
function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
