/**
 * What callers of REST want nodes to tell: the key alone counts, held by the lease of the controller that was asked. Pure.
 */
import { Type } from 'typebox';
import { denials } from './denials.ts';
import { Kind } from './kind.ts';
import { traffic } from './traffic.ts';

/** What nodes tell only while it is wanted: of all tenants' packets, or what they refused of one's. */
export type Subject = 'traffic' | `denials/${string}`;

/** Which subject, and which controller asks. */
export interface WantedPlace {
  readonly subject: Subject;
  readonly asker: string;
}

export const subjects = {
  traffic: 'traffic',
  denials: (tenant: string): Subject => `denials/${tenant}`,
  /** @returns undefined for other subjects */
  tenantOf: (subject: string): string | undefined => denials.place(`${subject}/any`)?.tenant,
} as const;

/** Where what is told of a subject lies. */
export function toldUnder(subject: Subject): string {
  const tenant = subjects.tenantOf(subject);
  return tenant === undefined ? traffic.prefix : `${denials.prefix}${tenant}/`;
}

/** The node that told what lies under a key. @returns undefined for a key that nothing is told under */
export function tellerOf(key: string): string | undefined {
  return (denials.place(key) ?? traffic.place(key))?.node;
}

export const wanted = new Kind({
  name: 'wanted',
  prefix: 'wanted/',
  form: {
    pattern: 'traffic/<asker> or denials/<tenant>/<asker>',
    format: ({ subject, asker }: WantedPlace) => `${subject}/${asker}`,
    parse: (rest) => {
      const [, subject, asker] = /^(traffic|denials\/[^/]+)\/([^/]+)$/.exec(rest) ?? [];
      return subject === undefined || asker === undefined ? undefined : { subject: subject as Subject, asker };
    },
  },
  schema: Type.Object({}),
  version: 1,
});
