/** A rule set and elements, for what the iptables backend makes of them. */
import { parsePrefix } from '../../../dataplane/address.ts';
import type { Collection, ElementItem, RuleSetItem } from '../../../dataplane/state.ts';

export const RULES: RuleSetItem = {
  kind: 'ruleSet',
  pools: [parsePrefix('10.128.0.0/9'), parsePrefix('fd00::/8')],
  platformNetworks: [],
  blockPrefixLength: { v4: 27, v6: 123 },
  vxlanPort: 4789,
  segment: parsePrefix('192.168.9.0/24'),
  masqueradePorts: { from: 61_000, to: 65_535 },
  flows: { ofPod: 32_768, ofTenant: 65_536 },
};

export const element = (collection: Collection, fields: (string | number)[], value?: number): ElementItem => ({
  kind: 'element',
  collection,
  fields,
  ...(value === undefined ? {} : { value }),
});
