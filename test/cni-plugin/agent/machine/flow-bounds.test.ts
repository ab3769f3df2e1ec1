import { expect, test } from 'vitest';
import { flowBounds, LEAST_FLOWS, MOST_FLOWS } from '../../../../cni-plugin/agent/machine/flow-bounds.ts';

test('bounds are shares of the table, and what is configured comes first', () => {
  expect(flowBounds({}, 262_144)).toEqual({ ofPod: 32_768, ofTenant: 65_536 });
  expect(flowBounds({ ofPod: 1000 }, 262_144)).toEqual({ ofPod: 1000, ofTenant: 65_536 });
  expect(flowBounds({ ofTenant: 1000 }, 262_144)).toEqual({ ofPod: 32_768, ofTenant: 1000 });
});

test('a table that is not there yet is taken for one of the usual size', () => {
  expect(flowBounds({}, undefined)).toEqual(flowBounds({}, 262_144));
});

test('tables of an absurd size give bounds that flags could have, too', () => {
  expect(flowBounds({}, 1)).toEqual({ ofPod: LEAST_FLOWS, ofTenant: LEAST_FLOWS });
  expect(flowBounds({}, 2_147_483_647)).toEqual({ ofPod: MOST_FLOWS, ofTenant: MOST_FLOWS });
});
