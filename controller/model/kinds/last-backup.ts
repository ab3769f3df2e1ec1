/** When the cluster was last backed up: one record, written behind each whole backup, never part of one. Pure. */
import { Type } from 'typebox';
import { Kind, only, type RecordOf } from './kind.ts';
import { Count, Time } from './shapes.ts';

export const LastBackup = Type.Object({
  at: Time,
  /** that the backup is of */
  revision: Count,
  /** the controller that made it */
  by: Type.String(),
});
export type LastBackup = RecordOf<typeof LastBackup>;

/** One that cannot be read counts as none. */
export const lastBackups = new Kind({
  name: 'last backup',
  prefix: 'backup',
  form: only,
  schema: LastBackup,
  version: 1,
});
