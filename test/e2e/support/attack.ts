/**
 * One packet that must not arrive, and the proof that the test would notice: with the closing rules taken out the same packet does
 * arrive, and what is legitimate passes before and after.
 */
import { newToken } from './ears.ts';
import { type Cut, without } from './openings.ts';
import type { Stage } from './stage.ts';

export interface Attack {
  readonly name: string;
  /** sends the packet, with this token in it */
  readonly fire: (token: string) => void;
  /** the ear that hears the sending itself: of a host that sends into the fabric */
  readonly origin?: string;
  /** the ear that hears it once the hole is open */
  readonly arrivesAt: string;
  /** every rule that stands in its way */
  readonly cuts: readonly Cut[];
}

/** Closed, open for a moment, closed again. @param legitimate what must work all along; throws if it does not */
export async function expectClosed(stage: Stage, attack: Attack, legitimate: () => Promise<void>): Promise<void> {
  await legitimate();
  await expectSilence(stage, [attack]);
  await without(stage.lab, attack.cuts, async () => {
    const token = newToken();
    attack.fire(token);
    await stage.ears.arrives(token, attack.arrivesAt);
  });
  await legitimate();
  await expectSilence(stage, [attack]);
}

/** Sends all, and expects that none arrives anywhere. */
export async function expectSilence(
  { ears }: Pick<Stage, 'ears'>,
  attacks: readonly Pick<Attack, 'name' | 'fire' | 'origin'>[],
): Promise<void> {
  ears.forget();
  const sent = attacks.map(({ name, fire, origin }) => {
    const token = newToken();
    fire(token);
    return { what: name, token, origin };
  });
  await ears.stayDeaf(sent);
}
