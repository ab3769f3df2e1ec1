/**
 * What the machine remembers of its labs: one lab.json each, written before things are made and whenever a process starts, so that any
 * later process can take a lab down, however its builder ended. Never ends or makes anything.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning, type ProcessRef } from './process.ts';
import { isLabId, LABS_DIR, type Topology } from './topology.ts';

export interface LabState {
  readonly topology: Topology;
  readonly phase: 'building' | 'up';
  /** the process whose lab this is and that will close it; absent: it stays until `lab down` */
  readonly owner?: ProcessRef;
  readonly processes: readonly ProcessRef[];
  /** loopback port of each controller's forwarder, by the controller's name */
  readonly ports: Readonly<Record<string, number>>;
  /** RFC 3339 */
  readonly createdAt: string;
}

/** Five letters and digits that are not mistaken for each other: 25 bits. */
export function newLabId(): string {
  return Array.from(randomBytes(5), (byte) => 'abcdefghijkmnpqrstuvwxyz23456789'[byte % 32]).join('');
}

const fileOf = (id: string): string => join(LABS_DIR, id, 'lab.json');

/** Takes the id: fails if another lab has it. @throws Error */
export function claimLab(state: LabState): void {
  mkdirSync(LABS_DIR, { recursive: true, mode: 0o700 });
  const { id, dir } = state.topology;
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new Error(`there is a lab ${id} already`, { cause: error });
  }
  writeLab(state);
}

/** All or nothing, so that a reader never sees half of it. */
export function writeLab(state: LabState): void {
  const file = fileOf(state.topology.id);
  writeFileSync(`${file}.next`, `${JSON.stringify(state, undefined, 1)}\n`, { mode: 0o600 });
  renameSync(`${file}.next`, file);
}

/** @returns undefined where there is none, or its file was never finished */
export function readLab(id: string): LabState | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(id), 'utf8')) as LabState;
  } catch {
    return undefined;
  }
}

/** Ids of all labs of this machine, half-built ones included. */
export function listLabs(): readonly string[] {
  try {
    return readdirSync(LABS_DIR).filter(isLabId);
  } catch {
    return [];
  }
}

/** Does a living process still use this lab as its own? */
export function isOwned(state: LabState | undefined): boolean {
  return state?.owner !== undefined && isRunning(state.owner);
}

export function forgetLab(id: string): void {
  rmSync(join(LABS_DIR, id), { recursive: true, force: true });
}
