/** Calls as runtimes make them, for tests to vary: environment, configuration, the agent's view of both, its answer. */
import type { AgentRequest, CniResult, NetworkConfig } from '../../cni-plugin/agent-protocol.ts';
import type { Environment } from '../../cni-plugin/environment.ts';

/** What containerd sets for a pod's ADD. @param changes `undefined` unsets a variable */
export function environment(changes: Environment = {}): Environment {
  return {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c0ffee00c0ffee',
    CNI_NETNS: '/run/netns/cni-1234',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin',
    CNI_ARGS:
      'K8S_POD_UID=9ac9;IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=c0ffee00c0ffee',
    ...changes,
  };
}

/** A plugin's configuration as libcni hands it over. */
export function configuration(changes: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return { cniVersion: '1.1.0', name: 'tenet', type: 'tenet', ...changes };
}

/** What the binary makes of the two above. */
export function agentRequest(
  changes: Partial<AgentRequest> = {},
  configChanges: Readonly<Record<string, unknown>> = {},
): AgentRequest {
  return {
    command: 'ADD',
    containerId: 'c0ffee00c0ffee',
    netns: '/run/netns/cni-1234',
    ifname: 'eth0',
    args: { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web-0' },
    config: configuration(configChanges) as unknown as NetworkConfig,
    ...changes,
  };
}

/** The agent's answer to ADD: both families, so that every conversion has something to do. */
export const RESULT: CniResult = {
  interfaces: [
    { name: 'tnp0123456789ab', mac: '0a:58:a9:fe:01:01', mtu: 1450 },
    { name: 'eth0', mac: '0a:58:0a:80:00:07', mtu: 1450, sandbox: '/run/netns/cni-1234' },
  ],
  ips: [
    { address: '10.128.0.7/32', gateway: '169.254.1.1', interface: 1 },
    { address: 'fd00::7/128', gateway: 'fe80::1', interface: 1 },
  ],
  routes: [
    { dst: '0.0.0.0/0', gw: '169.254.1.1' },
    { dst: '::/0', gw: 'fe80::1', mtu: 1430 },
  ],
  dns: {},
};
