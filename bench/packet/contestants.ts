/** Who forwards in this benchmark: a node without rules, with connection tracking alone, with Tenet's rules, with rules one by one. */
import type { BackendName } from '../../dataplane/backends/isolation-backend.ts';
import { podLinkName } from '../../dataplane/ownership.ts';
import { ForwardingPath } from './forwarding-path.ts';
import { addressOf, stateKnowing, stateWithoutRules } from './known-world.ts';

export interface Contestant {
  readonly name: string;
  /** forwards to any of the many destinations; others know too few endpoints */
  readonly knowsAll: boolean;
  /** lets a forbidden packet pass */
  readonly isOpen: boolean;
  /** @throws Error when this machine cannot */
  readonly open: () => ForwardingPath;
}

export const NO_RULES = 'no rules';
export const tenetName = (backend: BackendName, endpoints: string): string =>
  `Tenet ${backend}, ${endpoints} endpoints`;

export const noRules: Contestant = {
  name: NO_RULES,
  knowsAll: true,
  isOpen: true,
  open: () => new ForwardingPath(stateWithoutRules(), 'nftables'),
};

/** What every stateful firewall pays before its first rule. */
export const trackingAlone: Contestant = {
  name: 'connection tracking alone',
  knowsAll: true,
  isOpen: true,
  open: () =>
    withRules((path) => {
      const chain = 'type filter hook forward priority 0\nct state invalid drop';
      path.node.exec(['nft', '-f', '-'], `table inet bench {\nchain forward {\n${chain}\n}\n}\n`);
    }),
};

/**
 * The product's own rules and elements, as the agent would have them.
 * @param known as {@link tenetName} calls it, and how many that is
 * @param most destinations that there are
 */
export function tenet(backend: BackendName, [count, endpoints]: readonly [string, number], most: number): Contestant {
  return {
    name: tenetName(backend, count),
    knowsAll: endpoints >= most,
    isOpen: false,
    open: () => new ForwardingPath(stateKnowing(endpoints), backend),
  };
}

/**
 * So many rules of which none is about the packet, looked at one after the other, as a chain of a rule for each endpoint is.
 * @param lockFile instead of the machine's own /run/xtables.lock, which is none of ours to hold
 */
export function linearRules(command: string, rules: number, lockFile: string): Contestant {
  return {
    name: `${command}, ${rules} rules`,
    knowsAll: true,
    isOpen: true,
    open: () =>
      withRules((path) => {
        const lines = Array.from({ length: rules }, (_, index) => {
          const link = podLinkName((index + 16).toString(16).padStart(12, '0'));
          return `-A FORWARD -i ${link} -s ${addressOf(index)}/32 -j ACCEPT\n`;
        });
        const env = { ...process.env, XTABLES_LOCKFILE: lockFile };
        path.node.exec([`${command}-restore`], `*filter\n${lines.join('')}COMMIT\n`, env);
      }),
  };
}

function withRules(add: (path: ForwardingPath) => void): ForwardingPath {
  const path = new ForwardingPath(stateWithoutRules(), 'nftables');
  try {
    add(path);
    return path;
  } catch (error) {
    path.close();
    throw error;
  }
}
