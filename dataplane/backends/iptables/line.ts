/** Words that rules of iptables are made of. Pure. */

/** Of every chain of ours. */
export const CHAIN_PREFIX = 'TENET-';

export const RETURN = '-j RETURN';
export const DROP = '-j DROP';
export const inSet = (set: { readonly name: string }, parts: string) => `-m set --match-set ${set.name} ${parts}`;
export const notInSet = (set: { readonly name: string }, parts: string) => `-m set ! --match-set ${set.name} ${parts}`;
export const program = (bytecode: string) => `-m bpf --bytecode "${bytecode}"`;
export const call = (chain: string) => `-j ${CHAIN_PREFIX}${chain}`;
export const goto = (chain: string) => `-g ${CHAIN_PREFIX}${chain}`;

/** What a rule is for, and its parts. */
export type Line = readonly [comment: string, ...parts: string[]];
