/** The rules of a node in tests of the dataplane; each test says what differs in its own. */
import { parsePrefix } from '../../dataplane/address.ts';
import type { RuleSetItem } from '../../dataplane/state.ts';

export const RULE_SET: RuleSetItem = {
  kind: 'ruleSet',
  pools: [parsePrefix('10.128.0.0/9')],
  platformNetworks: [],
  blockPrefixLength: { v4: 27, v6: 123 },
  vxlanPort: 4789,
  underlay: 'eth0',
  segment: parsePrefix('192.168.9.0/24'),
  masqueradePorts: { from: 61_000, to: 65_535 },
  flows: { ofPod: 32_768, ofTenant: 65_536 },
};
