/**
 * Tenet's result of an ADD in the form of each CNI version, behind what earlier plugins of the chain have done. Pure.
 *
 *   1.1.0  as the agent gives it
 *   1.0.0  interfaces and routes know no mtu
 *   0.x    as 1.0.0, and each address says its family: "version": "4" or "6"
 */
import type { CniResult } from './agent-protocol.ts';
import { type CniVersion, isAtLeast } from './version.ts';

/** One version's result; `cniVersion` first. */
export type VersionedResult = Readonly<Record<string, unknown>> & { readonly cniVersion: CniVersion };

/** @see CNI spec, section 5, "ADD Success", of each version; 0.3.0 writes `ip` for `ips`, which 0.3.1 corrects as a misprint */
export function convertResult(result: CniResult, version: CniVersion): VersionedResult {
  const withMtu = isAtLeast(version, '1.1.0');
  const withFamily = !isAtLeast(version, '1.0.0');
  return {
    cniVersion: version,
    interfaces: result.interfaces.map(({ name, mac, mtu, sandbox }) => ({
      name,
      mac,
      ...(withMtu && mtu !== undefined && { mtu }),
      ...(sandbox !== undefined && { sandbox }),
    })),
    ips: result.ips.map(({ address, gateway, interface: index }) => ({
      ...(withFamily && { version: address.includes(':') ? '6' : '4' }),
      address,
      gateway,
      interface: index,
    })),
    routes: result.routes.map(({ dst, gw, mtu }) => ({
      dst,
      ...(gw !== undefined && { gw }),
      ...(withMtu && mtu !== undefined && { mtu }),
    })),
    dns: result.dns,
  };
}

/**
 * Puts an earlier plugin's result in front of ours: a plugin must hand on what it was given. Both are of one version, because
 * libcni converts prevResult to the configuration's.
 * @param prevResult `prevResult` of the configuration; what is not a list in it counts as empty
 * @see CNI spec 1.1.0, section 5: "Plugins provided a prevResult key ... must output it as their result"
 */
export function chainResult(prevResult: Readonly<Record<string, unknown>>, ours: VersionedResult): VersionedResult {
  const earlier = listIn(prevResult, 'interfaces');
  return {
    ...prevResult,
    cniVersion: ours.cniVersion,
    interfaces: [...earlier, ...listIn(ours, 'interfaces')],
    ips: [
      ...listIn(prevResult, 'ips'),
      ...(listIn(ours, 'ips') as { interface: number }[]).map((ip) => ({
        ...ip,
        interface: ip.interface + earlier.length,
      })),
    ],
    routes: [...listIn(prevResult, 'routes'), ...listIn(ours, 'routes')],
    dns: prevResult.dns ?? ours.dns,
  };
}

function listIn(result: Readonly<Record<string, unknown>>, key: string): readonly unknown[] {
  const list = result[key];
  return Array.isArray(list) ? list : [];
}
