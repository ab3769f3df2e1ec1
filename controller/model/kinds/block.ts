/**
 * Blocks of tenants' subnets that nodes hold. To one that cannot be read there is no way, and its node cannot send from it; its key
 * keeps it from every other node. Pure.
 */
import { Type } from 'typebox';
import type { IpPrefix } from '../../../dataplane/address.ts';
import { Kind } from './kind.ts';
import { formatPrefixKey, parsePrefixKey } from './prefix-key.ts';

/** Which block of which tenant: what the key says. */
export interface BlockPlace {
  readonly tenant: string;
  readonly prefix: IpPrefix;
}

export interface Block extends BlockPlace {
  readonly node: string;
}

export const blocks = new Kind({
  name: 'block',
  prefix: 'blocks/',
  form: {
    pattern: '<tenant>/<address>-<length>',
    format: ({ tenant, prefix }: BlockPlace) => `${tenant}/${formatPrefixKey(prefix)}`,
    parse: (rest) => {
      const slash = rest.indexOf('/');
      const prefix = slash > 0 ? parsePrefixKey(rest.slice(slash + 1)) : undefined;
      return prefix === undefined ? undefined : { tenant: rest.slice(0, slash), prefix };
    },
  },
  schema: Type.Object({ node: Type.String({ minLength: 1 }) }),
  version: 1,
  join: ({ tenant, prefix }, { node }): Block => ({ tenant, prefix, node }),
});
