/** Every case, family by family. Data. */
import type { Case } from '../case.ts';
import { baselineCases } from './baseline.ts';
import { blockCases } from './blocks.ts';
import { labelCases } from './labels.ts';
import { lifeCases } from './lives.ts';
import { portCases } from './ports.ts';
import { selectorCases } from './selectors.ts';
import { changeCases } from './steps.ts';
import { typeAndUnionCases } from './types.ts';

export const CASES: readonly Case[] = [
  ...baselineCases,
  ...selectorCases,
  ...labelCases,
  ...typeAndUnionCases,
  ...blockCases,
  ...portCases,
  ...changeCases,
  ...lifeCases,
];
