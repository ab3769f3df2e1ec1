/**
 * Endpoints, as their agents publish them. One of another node that cannot be read has no labels and no namespace: no policy that names its
 * labels lets it in. What runs on the node itself is known there first. Pure.
 */
import { Type } from 'typebox';
import { Kind, names, type RecordOf } from './kind.ts';
import { Ip, Labels, Mac, NamedPort, Time } from './shapes.ts';

export const Endpoint = Type.Object({
  /** 12 hex digits, a hash of container id and interface name */
  id: Type.String(),
  tenant: Type.String(),
  namespace: Type.String(),
  name: Type.String(),
  node: Type.String(),
  ips: Type.Array(Ip),
  mac: Mac,
  labels: Labels,
  ports: Type.Array(NamedPort),
  containerId: Type.String(),
  ifname: Type.String(),
  createdAt: Time,
});
export type Endpoint = RecordOf<typeof Endpoint>;

export const endpoints = new Kind({
  name: 'endpoint',
  prefix: 'endpoints/',
  form: names('tenant', 'node', 'id'),
  schema: Endpoint,
  version: 1,
  acknowledgedAs: 'endpoints',
});
