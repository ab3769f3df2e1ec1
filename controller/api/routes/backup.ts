/**
 * /v1/cluster/backup, /v1/cluster/restore: the cluster as a file, and a file as the cluster.
 */
import { Readable } from 'node:stream';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { InvalidInput } from '../../errors.ts';
import { MOST_BACKUP_BYTES } from '../../model/backup.ts';
import { DEFAULT_RECOVERY_MS } from '../../model/duration.ts';
import { makeBackup } from '../../operations/backup.ts';
import type { Registry } from '../../operations/registry.ts';
import { readWholeBackup, restoreBackup } from '../../operations/restore.ts';
import { acceptStream, atMost } from '../lines-body.ts';
import { NoQuery } from '../pages.ts';
import { problemResponses } from '../problems.ts';
import { BACKUP_TYPE, BackupAnswer, BackupBody, RestoredView, RestoreQuery } from '../schemas/backup.ts';
import { answer } from '../schemas/common.ts';
import { bodyIsJudgedLater } from '../validation.ts';
import { timeoutOf } from '../waiting.ts';

const tags = ['cluster'];
const RESTORE = [
  'Tenants, namespaces, policies, peerings and the cluster’s settings become what the backup says; all else of them is removed. The',
  'file is checked before anything is written. A new history of the store begins: until every node has claimed again what it holds,',
  'no new tenant, subnet or block is granted. A restore that failed is to be repeated: until then requests are answered with 503.',
].join(' ');

export const backupRoutes: FastifyPluginAsyncTypebox<{ registry: Registry; version: string }> = async (
  app,
  { registry, version },
) => {
  acceptStream(app, BACKUP_TYPE);

  app.get(
    '/v1/cluster/backup',
    {
      schema: {
        operationId: 'backUpCluster',
        tags,
        summary: 'Read all that makes the cluster, as of one moment',
        description:
          'A file for `PUT /v1/cluster/restore`. Its last line is a hash of all before: without it the file is cut.',
        querystring: NoQuery,
        response: {
          200: BackupAnswer,
          ...problemResponses('not_found'),
        },
      },
    },
    async (_request, reply) => {
      const lines = await makeBackup(registry, version);
      return reply
        .type(BACKUP_TYPE)
        .header('cache-control', 'no-store')
        .send(Readable.from(lines, { objectMode: false }));
    },
  );

  app.put(
    '/v1/cluster/restore',
    {
      validatorCompiler: bodyIsJudgedLater,
      schema: {
        operationId: 'restoreCluster',
        tags,
        summary: 'Make the cluster what a backup says',
        description: RESTORE,
        consumes: [BACKUP_TYPE],
        querystring: RestoreQuery,
        body: BackupBody,
        response: {
          200: answer('Restored, and all nodes hold again what they held.', RestoredView),
          202: answer(
            'Restored, but not all nodes hold in time what they held: `waitingFor` names them.',
            RestoredView,
          ),
          ...problemResponses('conflict', 'payload_too_large', 'unsupported_media_type'),
        },
      },
    },
    async ({ body, query }, reply) => {
      const timeoutMs = timeoutOf(query.timeout, DEFAULT_RECOVERY_MS);
      const stream: unknown = body;
      if (!(stream instanceof Readable)) throw new InvalidInput('body', 'is required');
      const backup = await readWholeBackup(atMost(MOST_BACKUP_BYTES, stream));
      const restored = await restoreBackup(registry, backup, timeoutMs);
      return reply.code(restored.recovered ? 200 : 202).send(restored);
    },
  );
};
