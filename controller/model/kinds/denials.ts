/**
 * What nodes refused of tenants' packets lately, told while a caller asks. Of records that cannot be read nothing is shown. Pure.
 */
import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { Kind, names, type RecordOf } from './kind.ts';
import { Count, Ip, Time } from './shapes.ts';

/** One end of a packet that was refused, as far as the node that refused it knows. */
const DenialEnd = Type.Object({
  ip: Ip,
  tenant: Type.Optional(Type.String()),
  namespace: Type.Optional(Type.String()),
  name: Type.Optional(Type.String()),
});
export type DenialEnd = RecordOf<typeof DenialEnd>;

/** A packet that was refused: one of perhaps many alike. */
const Denial = Type.Object({
  at: Type.Refine(
    Type.String(),
    (text) => !Number.isNaN(Date.parse(text)),
    () => 'must be a time',
  ),
  from: DenialEnd,
  to: DenialEnd,
  /** TCP, UDP, SCTP, ICMP, or an IP protocol number as text */
  protocol: Type.String(),
  /** of the destination, where the protocol has ports */
  port: Type.Optional(Type.Integer()),
  /** `egress`: refused where it was sent; `ingress`: where it arrived */
  direction: Type.Enum(['egress', 'ingress']),
  /** `flows`: the sender, or its tenant, has as many flows on its node as it may; absent: no policy allows it */
  reason: Type.Optional(Type.Literal('flows')),
  /** packets alike that were shown together; absent: one */
  count: Type.Optional(Count),
});
export type Denial = RecordOf<typeof Denial>;

const Denials = Type.Object({
  /** of this writing */
  at: Time,
  /** of the last one; counts up by one for each since the agent began */
  sequence: Count,
  /** when the agent began to count */
  started: Time,
  /** number of the last one before the caller asked; absent: 0 */
  unasked: Type.Optional(Count),
  /** newest last, at most 20; each is judged by itself, and the others keep their numbers */
  denials: Type.Array(Type.Unsafe<Denial>(Type.Unknown())),
});
/** The latest that a node refused of a tenant's packets: a sample. Written while a caller asks, at most once a second. */
export type Denials = RecordOf<typeof Denials>;

/** Gone with the tenant, or with the node's record. */
export const denials = new Kind({
  name: 'denials',
  prefix: 'denials/',
  form: names('tenant', 'node'),
  schema: Denials,
  version: 1,
});

const validator = Compile(Denial);

/** Is one of a record's denials what it should be? */
export function isDenial(value: unknown): value is Denial {
  return validator.Check(value);
}
