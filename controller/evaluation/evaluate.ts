/**
 * Answers whether one end may call another, and says why: which rule, policy or default decides at each end. Pure.
 */
import { InvalidInput } from '../errors.ts';
import { decide, isAllowed } from './decide.ts';
import { type EndName, type EndView, findEnd, viewEnd } from './ends.ts';
import type { Traffic } from './policies.ts';
import { type Because, explain } from './reasons.ts';
import { type World, WorldIndex } from './world.ts';

export interface Question extends Traffic {
  readonly from: EndName;
  readonly to: EndName;
}

export interface Verdict {
  readonly allowed: boolean;
  /**
   * Allowed if every entry is. One alone where cluster or tenants decide whatever policies say; else one for each end, the source
   * first, and both also where one of them denies.
   */
  readonly because: readonly Because[];
  readonly from: EndView;
  readonly to: EndView;
}

/**
 * @param world an index where many questions are asked of one world, which then costs the reading of it once
 * @throws NotFound, InvalidInput: fields `from.name`, `to.ip`, `port` and so on
 */
export function evaluate(world: World | WorldIndex, { from, to, ...traffic }: Question): Verdict {
  checkTraffic(traffic);
  const index = world instanceof WorldIndex ? world : new WorldIndex(world);
  const ends = [findEnd(index, from, 'from'), findEnd(index, to, 'to')] as const;
  const findings = decide(index, ...ends, traffic);
  return {
    allowed: isAllowed(findings),
    because: findings.map((finding) => explain(index, finding, ends, traffic)),
    from: viewEnd(ends[0]),
    to: viewEnd(ends[1]),
  };
}

/** @throws InvalidInput */
export function checkTraffic({ protocol, port }: Traffic): void {
  if (protocol === 'ICMP') {
    if (port !== undefined) throw new InvalidInput('port', 'ICMP has no ports');
    return;
  }
  if (port === undefined) throw new InvalidInput('port', `is required for ${protocol}`);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new InvalidInput('port', 'must be a number from 1 to 65535');
}
