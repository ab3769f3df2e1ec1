/** Every case, family by family. Data. */
import type { Case } from '../case.ts';
import { baselineCases } from './baseline.ts';

export const CASES: readonly Case[] = [...baselineCases];
