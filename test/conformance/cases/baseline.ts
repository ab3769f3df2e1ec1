/** The world without policies, which all other tables start from. Data. */
import { type Case, once } from '../case.ts';

export const baselineCases: readonly Case[] = [
  once('baseline/own-tenant', {}, []),
  once('baseline/others-outside-and-nodes', {}, [], 'peer', 'stranger', 'outside', 'node'),
];
