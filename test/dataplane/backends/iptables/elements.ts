/** A rule set and elements, for what the iptables backend makes of them. */
import { parsePrefix } from '../../../../dataplane/address.ts';
import type { Collection, ElementItem, RuleSetItem } from '../../../../dataplane/state.ts';
import { RULE_SET } from '../../rule-set.ts';

export const RULES: RuleSetItem = { ...RULE_SET, pools: [...RULE_SET.pools, parsePrefix('fd00::/8')] };

export const element = (collection: Collection, fields: (string | number)[], value?: number): ElementItem => ({
  kind: 'element',
  collection,
  fields,
  ...(value === undefined ? {} : { value }),
});
