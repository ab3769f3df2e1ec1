/** Backups and restores on the wire. Shapes only. Pure. */
import { type TSchema, Type } from '@fastify/type-provider-typebox';

/** One JSON text a line. */
export const BACKUP_TYPE = 'application/x-ndjson';

export const BackupBody = Type.String({
  description:
    'what `GET /v1/cluster/backup` gave, unchanged: a head, a line for each record, what was left out, a hash',
});

/** A stream. */
export const BackupAnswer = {
  description: 'The file.',
  content: { [BACKUP_TYPE]: { schema: BackupBody } },
} as unknown as TSchema;

export const RestoreQuery = Type.Object(
  {
    timeout: Type.Optional(
      Type.String({
        maxLength: 40,
        description: 'the longest wait for nodes, once everything is written: 2m by default, 5m at most',
        examples: ['30s', '1m'],
      }),
    ),
  },
  { additionalProperties: false },
);

const Counts = (description: string) =>
  Type.Record(Type.String(), Type.Integer(), { description, examples: [{ tenant: 3, policy: 12 }] });

const NotKeptView = Type.Object({
  kind: Type.String({ description: 'of the record, `subnet`, or of a problem', examples: ['tenant', 'place_taken'] }),
  name: Type.String({ examples: ['blue'] }),
  tenant: Type.Optional(Type.String()),
  node: Type.Optional(Type.String()),
  reason: Type.String({ description: 'for people; may change' }),
});

export const RestoredView = Type.Object(
  {
    history: Type.String({ description: 'id of the history of the store that the restore began' }),
    restored: Counts('records written, by kind: they were not there, or differed'),
    removed: Counts('records removed, by kind'),
    notKept: Type.Array(NotKeptView, {
      description: 'what was there before and is not in the backup, and what nodes say that they have lost',
    }),
    more: Type.Integer({ description: 'so many more were not kept' }),
    recovered: Type.Boolean({ description: 'all nodes hold again what they held: new claims are granted' }),
    waitingFor: Type.Array(Type.String(), { description: 'nodes that do not yet' }),
  },
  { $id: 'Restored' },
);
