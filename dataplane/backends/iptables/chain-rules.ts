/** How a chain is written down for iptables: its rules as lines of a comment and parts, and each rule signed. Pure. */
import { signedComment } from '../common.ts';
import { CHAIN_PREFIX, type Line } from './line.ts';

/** One chain: its rules in order, each signed. */
export interface ChainRules {
  readonly name: string;
  readonly rules: readonly SignedRule[];
  /** the built-in chain that jumps here before all else */
  readonly enteredFrom?: string;
}

export interface SignedRule {
  /** as iptables-restore takes it after `-A CHAIN` */
  readonly text: string;
  /** by which it is known again: what it is for, and a hash of what it does */
  readonly comment: string;
}

/** The chains of one table. */
export interface TableRules {
  readonly table: 'raw' | 'mangle' | 'nat';
  readonly chains: readonly ChainRules[];
}

/** The rule of a built-in chain that enters one of ours. */
export function jumpTo({ name }: ChainRules): SignedRule {
  return signed(['tenants first', `-j ${name}`]);
}

/** @param enteredFrom the built-in chain that jumps to it */
export function chain(name: string, lines: readonly Line[], enteredFrom?: string): ChainRules {
  const made = { name: `${CHAIN_PREFIX}${name}`, rules: lines.map(signed) };
  return enteredFrom === undefined ? made : { ...made, enteredFrom };
}

/** Tools print a rule in words of their own, but its comment as it was given, if it has no quotes of any kind. */
function signed([what, ...parts]: Line): SignedRule {
  const rule = parts.join(' ');
  const comment = signedComment(what, rule);
  return { text: `-m comment --comment "${comment}" ${rule}`, comment };
}
