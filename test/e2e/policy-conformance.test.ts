/**
 * The conformance suite, family by family, on the project's backend: `npm run conformance` for people, here for every test run; and
 * some random scenes that are always the same.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Case } from '../conformance/case.ts';
import { CASES } from '../conformance/cases/all.ts';
import { Random, randomSteps } from '../conformance/random.ts';
import { Runner } from '../conformance/run.ts';
import { Scene } from '../conformance/scene.ts';
import { BACKEND } from './support/backend.ts';

const RANDOM_SCENES = 10;
const FIRST_SEED = 1;

let scene: Scene;
let runner: Runner;

beforeAll(async () => {
  scene = await Scene.open({ backend: BACKEND });
  runner = new Runner(scene);
});
afterAll(() => scene?.close());

const familyOf = ({ name }: Case): string => name.split('/')[0] ?? '';
const families = [...new Set(CASES.map(familyOf))];

describe('policies are enforced as their truth tables say', () => {
  test.each(families)('%s', async (family) => {
    const failures: string[] = [];
    for (const each of CASES.filter((one) => familyOf(one) === family)) {
      const { name, failure } = await runner.run(each);
      if (failure !== '') failures.push(`${name}: ${failure}`);
    }
    expect(failures.join('\n\n')).toBe('');
  });
});

test('random policies are enforced as the evaluator says', async () => {
  const failures: string[] = [];
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RANDOM_SCENES; seed++) {
    const { name, failure } = await runner.runAgainstEvaluator(`fuzz/${seed}`, randomSteps(new Random(seed)));
    if (failure !== '') failures.push(`${name}: ${failure}`);
  }
  expect(failures.join('\n\n')).toBe('');
});
