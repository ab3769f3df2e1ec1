/** The cases and the random scenes as data: enough of them, well formed, repeatable. */
import { describe, expect, test } from 'vitest';
import { CASES } from './cases/all.ts';
import { Random, randomSteps } from './random.ts';
import { truth } from './truth.ts';

describe('the cases', () => {
  test('are at least 150, each with a name of its own in a family', () => {
    const names = CASES.map(({ name }) => name);
    expect(names.length).toBeGreaterThanOrEqual(150);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
    expect(names.filter((name) => !/^[a-z-]+\/[a-z0-9-]+$/.test(name))).toEqual([]);
  });

  test('have truth tables that can be read', () => {
    for (const { steps } of CASES) for (const { expected } of steps) expect(() => truth(expected)).not.toThrow();
  });

  test('open a flow before they say what became of it', () => {
    for (const { name, steps } of CASES) {
      const opened = new Set<string>();
      for (const { actions, flows = {} } of steps) {
        for (const action of actions) if (action.kind === 'flow') opened.add(action.flow.name);
        expect(
          Object.keys(flows).filter((flow) => !opened.has(flow)),
          name,
        ).toEqual([]);
      }
    }
  });
});

describe('random scenes', () => {
  const places = { ip: () => '10.0.0.1', subnet: '10.0.0.0/24' };
  const resolved = (seed: number) =>
    JSON.stringify(
      randomSteps(new Random(seed)).map((actions) =>
        actions.map((action) =>
          action.kind === 'put' && typeof action.spec === 'function'
            ? { ...action, spec: action.spec(places) }
            : action,
        ),
      ),
    );

  test('are the same for a seed and different for another', () => {
    expect(resolved(7)).toBe(resolved(7));
    expect(resolved(7)).not.toBe(resolved(8));
  });

  test('have every kind of part somewhere', () => {
    const all = Array.from({ length: 100 }, (_, seed) => resolved(seed)).join('\n');
    const parts = ['ipBlock', 'except', 'endPort', '"web"', 'NotIn', 'DoesNotExist', 'policyTypes', 'SCTP', '"peer"'];
    expect(parts.filter((part) => !all.includes(part))).toEqual([]);
  });
});
