/** Programs measured beside us: which of them this machine has. Starts them for their version alone. */
import { findVersion } from './machine.ts';

/** Versions by name, of those that are installed. */
export function installedTools(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const version = findVersion(name);
      return version === undefined ? [] : [[name, version]];
    }),
  );
}
