/**
 * What the CNI binary and the agent say to each other over the agent's unix socket: one connection, one request as a line of
 * JSON, one response as a line of JSON. The binary keeps its side open until the answer is there: closing it calls the request
 * off. Version-neutral: results are in CNI 1.1.0 form, the binary converts them down. Types and constants only, for the binary
 * imports next to nothing.
 */

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

/** Parsed and validated by the binary; the agent decides. @see CNI spec 1.1.0, section 2 */
export interface AgentRequest {
  readonly command: CniCommand;
  /** empty for GC and STATUS */
  readonly containerId: string;
  /** empty for GC and STATUS, and for a DEL of a container whose namespace is gone */
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS, `K=V;K=V` split */
  readonly args: Readonly<Record<string, string>>;
  /** the network configuration as given on stdin, prevResult included where present */
  readonly config: NetworkConfig;
}

/** The network configuration, fields Tenet reads. Others are kept. @see CNI spec section 1, conventions "args" and "runtimeConfig" */
export interface NetworkConfig {
  readonly cniVersion: string;
  readonly name: string;
  readonly type: string;
  readonly agentSocket?: string;
  readonly tenant?: string;
  readonly args?: { readonly cni?: CniArgs };
  readonly runtimeConfig?: { readonly ips?: readonly string[]; readonly mac?: string; readonly [key: string]: unknown };
  readonly prevResult?: unknown;
  readonly 'cni.dev/valid-attachments'?: readonly { readonly containerID: string; readonly ifname: string }[] | null;
}

export interface CniArgs {
  readonly tenant?: string;
  readonly labels?: readonly { readonly key: string; readonly value: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number; readonly protocol?: string }[];
  readonly ips?: readonly string[];
}

/** CNI 1.1.0 result of ADD. @see CNI spec section 5 */
export interface CniResult {
  readonly interfaces: readonly {
    readonly name: string;
    readonly mac: string;
    readonly mtu?: number;
    /** network namespace path; absent for the host's end */
    readonly sandbox?: string;
  }[];
  readonly ips: readonly { readonly address: string; readonly gateway: string; readonly interface: number }[];
  readonly routes: readonly { readonly dst: string; readonly gw?: string; readonly mtu?: number }[];
  readonly dns: Readonly<Record<string, never>>;
}

/** @see CNI spec section 5, "Error": codes 1-99 are the spec's, 100 and above Tenet's */
export interface CniErrorBody {
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

export type AgentResponse =
  | { readonly ok: true; readonly result?: CniResult }
  | { readonly ok: false; readonly error: CniErrorBody };

/** The spec's and Tenet's error codes. */
export const CNI_ERROR = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  containerUnknown: 3,
  invalidEnvironment: 4,
  io: 5,
  decode: 6,
  invalidConfig: 7,
  tryAgain: 11,
  pluginNotAvailable: 50,
  exhausted: 100,
  kernel: 101,
  codec: 102,
  internal: 999,
} as const;

export const DEFAULT_AGENT_SOCKET = '/run/tenet/agent.sock';

/** Longest line either side sends, its newline aside, in bytes. A prevResult or a GC's list of 100,000 containers fits. */
export const MESSAGE_BYTES_LIMIT = 16 * 1024 * 1024;
