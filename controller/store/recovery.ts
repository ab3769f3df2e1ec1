/** While a history of the store begins no new claim is granted: what nodes and tenants held before comes first. */
import { Unavailable } from '../errors.ts';
import { keys } from './keys.ts';
import type { Guard, Store } from './store.ts';

/** To be among the guards of every commit that claims what could be another's. */
export const NEW_CLAIM: Guard = { kind: 'absent', key: keys.recovery };

/** To be called when such a commit did not happen. @throws Unavailable */
export async function refuseDuringRecovery(store: Store): Promise<void> {
  const { entry } = await store.get(keys.recovery);
  if (entry === undefined) return;
  const because = 'the store was put back to an older copy, and nodes are claiming again what they hold';
  throw new Unavailable('store', `nothing new is given out just now: ${because}; try again in some seconds`);
}
