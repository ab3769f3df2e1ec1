/**
 * Claims: each gives a VNI, a subnet or a namespace to one tenant. What is claimed by one that cannot be read is taken all the same. Pure.
 */
import { Type } from 'typebox';
import {
  familyOf,
  type IpPrefix,
  ipToNumber,
  numberToIp,
  prefixBase,
  prefixSize,
  sortableIp,
} from '../../../dataplane/address.ts';
import { Kind, names, type RecordOf, type StoredText } from './kind.ts';
import { formatPrefixKey, parsePrefixKey } from './prefix-key.ts';

export const Claim = Type.Object({ tenant: Type.String() });
export type Claim = RecordOf<typeof Claim>;

/** Of every claim, of whatever. */
export const CLAIMS = 'claims/';

export const vniClaims = new Kind({
  name: 'VNI claim',
  prefix: `${CLAIMS}vni/`,
  form: {
    pattern: '<VNI, 8 digits>',
    format: ({ vni }: { readonly vni: number }) => String(vni).padStart(8, '0'),
    parse: (rest) => (/^\d{8}$/.test(rest) ? { vni: Number(rest) } : undefined),
  },
  schema: Claim,
  version: 1,
});

export const subnetClaims = new Kind({
  name: 'subnet claim',
  prefix: `${CLAIMS}subnet/`,
  form: {
    pattern: '<address>-<length>',
    format: ({ subnet }: { readonly subnet: IpPrefix }) => formatPrefixKey(subnet),
    parse: (rest) => {
      const subnet = parsePrefixKey(rest);
      return subnet === undefined ? undefined : { subnet };
    },
  },
  schema: Claim,
  version: 1,
});

export const namespaceClaims = new Kind({
  name: 'namespace claim',
  prefix: `${CLAIMS}namespace/`,
  form: names('namespace'),
  schema: Claim,
  version: 1,
});

/** The tenant that has what is claimed, whatever that is. @returns undefined for a claim that cannot be read: another's */
export function claimant(entry: StoredText): string | undefined {
  return [vniClaims, subnetClaims, namespaceClaims].find(({ prefix }) => entry.key.startsWith(prefix))?.find(entry)
    ?.tenant;
}

/**
 * The key range holding the claim of every subnet whose BASE lies in `subnet`: itself, everything inside it, and those larger
 * ones that begin where it begins.
 */
export function subnetClaimRange(subnet: IpPrefix): { readonly from: string; readonly to: string } {
  const end = ipToNumber(prefixBase(subnet)) + prefixSize(subnet);
  const last = numberToIp(end - 1n, familyOf(subnet));
  // '.' < '0' and '-' < '.', so '~' after the last address follows every length of it.
  return {
    from: `${subnetClaims.prefix}${sortableIp(prefixBase(subnet))}`,
    to: `${subnetClaims.prefix}${sortableIp(last)}~`,
  };
}
