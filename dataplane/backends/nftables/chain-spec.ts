/**
 * How a chain is written down: its rules as lines of a comment and parts, and each rule signed, so that a later run (or another
 * version) knows by its comment whether it is exactly what it should be. Pure.
 */
import type { Chain, ChainHook } from '../../codecs/nftables/chain.ts';
import type { Rule } from '../../codecs/nftables/rule.ts';
import { buildRule, type RulePart } from '../../codecs/nftables/rule-builder.ts';
import { signedComment } from '../common.ts';
import { TABLE } from './sets.ts';

/** One rule: what it is for, and its parts. */
export type Line = readonly [comment: string, ...parts: RulePart[]];

/** A chain and its rules in order. */
export interface ChainSpec {
  readonly chain: Chain;
  readonly rules: readonly Rule[];
}

/** A base chain that lets pass what no rule decides: what is not ours is not ours to drop. */
export function base(type: ChainHook['type'], hook: ChainHook['hook'], priority: number): ChainHook {
  return { type, hook, priority, policy: 'accept' };
}

/** @param hook of a base chain */
export function chain(name: string, lines: readonly Line[], hook?: ChainHook): ChainSpec {
  const where = { ...TABLE, chain: name };
  return {
    chain: hook === undefined ? where : { ...where, base: hook },
    rules: lines.map(([comment, ...parts]) => signed(buildRule(where, parts, comment))),
  };
}

function signed(rule: Rule): Rule {
  const text = JSON.stringify(rule.expressions, (_key, value) =>
    typeof value === 'bigint' ? `${value}n` : value instanceof Uint8Array ? Array.from(value) : value,
  );
  return { ...rule, comment: signedComment(rule.comment ?? '', text) };
}
