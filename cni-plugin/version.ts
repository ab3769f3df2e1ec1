/** Which versions of the CNI specification Tenet speaks, and which verb came with which. Pure. */
import { CNI_ERROR, type CniCommand } from './agent-protocol.ts';
import { CniError } from './cni-error.ts';

/** Oldest first. Earlier ones (0.1.0, 0.2.0) have another shape of result, and no runtime in use asks for them. */
export const SUPPORTED_VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];
export const NEWEST_VERSION: CniVersion = '1.1.0';

/** The version of the specification that introduced each verb. */
const INTRODUCED: Readonly<Record<CniCommand, CniVersion>> = {
  ADD: '0.3.0',
  DEL: '0.3.0',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

export function isSupportedVersion(version: unknown): version is CniVersion {
  return (SUPPORTED_VERSIONS as readonly unknown[]).includes(version);
}

/** Is `version` at least `other`? Both are supported ones. */
export function isAtLeast(version: CniVersion, other: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(other);
}

/**
 * The version a configuration asks for. A configuration without one means 0.1.0, as in libcni.
 * @throws CniError 6 if it is not text, 1 if Tenet does not speak it or it does not know the verb
 */
export function negotiateVersion(cniVersion: unknown, command: CniCommand): CniVersion {
  if (cniVersion !== undefined && typeof cniVersion !== 'string') {
    throw new CniError(CNI_ERROR.decode, 'cniVersion must be a string', `was ${JSON.stringify(cniVersion)}`);
  }
  const wanted = cniVersion === undefined || cniVersion === '' ? '0.1.0' : cniVersion;
  if (!isSupportedVersion(wanted)) {
    throw new CniError(
      CNI_ERROR.incompatibleVersion,
      `cniVersion ${JSON.stringify(wanted)} is not supported`,
      `${cniVersion ? '' : 'cniVersion is missing, which means 0.1.0; '}supported: ${SUPPORTED_VERSIONS.join(', ')}`,
    );
  }
  if (!isAtLeast(wanted, INTRODUCED[command])) {
    throw new CniError(
      CNI_ERROR.incompatibleVersion,
      `cniVersion ${JSON.stringify(wanted)} does not know ${command}`,
      `${command} came with ${INTRODUCED[command]}`,
    );
  }
  return wanted;
}
