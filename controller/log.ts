/**
 * The controller's log: JSON lines on stdout, fields rather than sentences, and nothing that opens a door.
 */
import { type Logger, pino } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** @param name of this controller, in every line */
export function createLog(name: string, level: LogLevel): Logger {
  return pino({
    name: 'tenet-controller',
    level,
    base: { controller: name },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: ['token', 'authorization', '*.token', '*.authorization', 'req.headers', 'headers'],
  });
}
