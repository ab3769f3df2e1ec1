/**
 * Values of the controller's flags, from text. Each parser refuses with commander's error or an AddressError, which say what would
 * do; config.ts adds the flag's name. Pure.
 */
import { InvalidArgumentError } from 'commander';
import { type IpPrefix, parseIp, parsePrefix } from '../dataplane/address.ts';
import type { ListenAddress } from './listen.ts';
import { LOG_LEVELS, type LogLevel } from './log.ts';
import type { Exception } from './model/records.ts';

export function parseUrls(value: string): string[] {
  const urls = value.split(',').map((each) => each.trim().replace(/\/$/, ''));
  for (const each of urls)
    if (!/^https?:\/\/[^/]+$/.test(each))
      throw new InvalidArgumentError(`${JSON.stringify(each)} is not like http://192.0.2.1:2379`);
  return urls;
}

function parsePort(value: string): number {
  if (!/^\d{1,5}$/.test(value) || Number(value) > 65535)
    throw new InvalidArgumentError(`${JSON.stringify(value)} is no port`);
  return Number(value);
}

function parseHostPort(value: string): { readonly host: string; readonly port: number } {
  const parts = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:]+)):(?<port>\d+)$/.exec(value)?.groups;
  if (parts === undefined) throw new InvalidArgumentError(`${JSON.stringify(value)} is not HOST:PORT`);
  return { host: parts.v6 ?? parts.host ?? '', port: parsePort(parts.port ?? '') };
}

export function parseListen(value: string): ListenAddress {
  if (!value.startsWith('unix:')) return { kind: 'tcp', ...parseHostPort(value) };
  const path = value.slice('unix:'.length);
  if (!path.startsWith('/')) throw new InvalidArgumentError(`${JSON.stringify(value)} is not unix:/PATH`);
  return { kind: 'unix', path };
}

/** An address alone stands for etcd's usual port. */
export function parseEtcdListen(value: string): { readonly host: string; readonly port: number } {
  try {
    return { host: parseIp(value), port: 2379 };
  } catch {
    return parseHostPort(value);
  }
}

export function parseCidr(value: string): IpPrefix {
  return parsePrefix(value.trim());
}

export function parseLength(value: string): number {
  if (!/^\d{1,2}$/.test(value) || Number(value) > 32)
    throw new InvalidArgumentError(`${JSON.stringify(value)} is not 0 to 32`);
  return Number(value);
}

/** @returns milliseconds */
export function parseTimeout(value: string): number {
  const seconds = /^\d{1,2}(\.\d{1,3})?$/.test(value) ? Number(value) : Number.NaN;
  if (!(seconds >= 1 && seconds <= 60))
    throw new InvalidArgumentError(`${JSON.stringify(value)} is not 1 to 60 seconds`);
  return Math.round(seconds * 1000);
}

export function parseDays(value: string): number {
  if (!/^\d{1,4}$/.test(value)) throw new InvalidArgumentError(`${JSON.stringify(value)} is not 0 to 9999 days`);
  return Number(value);
}

export function parseLevel(value: string): LogLevel {
  const level = LOG_LEVELS.find((each) => each === value);
  if (level === undefined)
    throw new InvalidArgumentError(`${JSON.stringify(value)} is none of ${LOG_LEVELS.join(', ')}`);
  return level;
}

export function parseException(value: string): Exception {
  const parts = /^(?<name>[^=]+)=(?<where>.+)\/(?<protocol>tcp|udp|sctp)$/i.exec(value.trim())?.groups;
  const protocol = (['TCP', 'UDP', 'SCTP'] as const).find((each) => each === parts?.protocol?.toUpperCase());
  if (parts === undefined || protocol === undefined)
    throw new InvalidArgumentError(
      `${JSON.stringify(value)} is not NAME=ADDRESS:PORT/PROTOCOL, such as dns=192.0.2.53:53/UDP`,
    );
  const { host, port } = parseHostPort(parts.where ?? '');
  if (port === 0) throw new InvalidArgumentError('port 0 is no port');
  return { name: parts.name ?? '', address: parseIp(host), protocol, port };
}
