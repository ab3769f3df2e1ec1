/** What is known of the store itself, on the wire. Shapes only. Pure. */
import { Type } from '@fastify/type-provider-typebox';
import type { StoreFacts } from '../../operations/store-facts.ts';

const Member = Type.Object({
  endpoint: Type.String({ examples: ['http://127.0.0.1:2379'] }),
  fileBytes: Type.Integer({ description: 'size of its database file' }),
  usedBytes: Type.Integer({ description: 'what of it is in use; the rest is free once the member is defragmented' }),
  quotaBytes: Type.Optional(
    Type.Integer({ description: 'size at which etcd refuses writes; absent: it does not say' }),
  ),
});

export const StoreView = Type.Object(
  {
    revision: Type.Integer({ description: "the store's revision that this shows" }),
    history: Type.Optional(
      Type.Object({
        id: Type.String(),
        begunAt: Type.String({ format: 'date-time' }),
        cause: Type.String({ enum: ['birth', 'rollback', 'restore'] }),
        by: Type.String({ description: 'the controller or node that began it' }),
      }),
    ),
    recovering: Type.Boolean({ description: 'nodes claim again what they hold; nothing new is granted until then' }),
    lastBackup: Type.Optional(
      Type.Object(
        {
          at: Type.String({ format: 'date-time' }),
          revision: Type.Integer({ description: "the store's revision that it is of" }),
          by: Type.String({ description: 'the controller that made it' }),
        },
        { description: 'the last that was read whole; absent: none' },
      ),
    ),
    members: Type.Array(Member, { description: 'etcd members that answered at the last look; none: nothing is known' }),
    alarms: Type.Array(Type.String(), { description: 'such as NOSPACE: etcd refuses writes' }),
  },
  { $id: 'Store' },
);

export function viewStore({ revision, history, isRecovering, lastBackup, state }: StoreFacts): object {
  const { members = [], alarms = [] } = state ?? {};
  return {
    revision,
    ...(history && { history }),
    recovering: isRecovering,
    ...(lastBackup && { lastBackup }),
    members: members.map(({ endpoint, fileBytes, usedBytes, quotaBytes }) => ({
      endpoint,
      fileBytes,
      usedBytes,
      ...(quotaBytes === undefined ? {} : { quotaBytes }),
    })),
    alarms,
  };
}
