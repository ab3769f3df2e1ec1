/** The world without policies: what all other tables start from. Data. */
import { type Case, once } from '../case.ts';

export const baselineCases: readonly Case[] = [
  once('baseline/own-tenant', {}, []),
  once('baseline/peer-strangers-outside-nodes', {}, [], 'peer', 'stranger', 'outside', 'node'),
];
