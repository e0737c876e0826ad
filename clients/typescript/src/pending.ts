/**
 * The process's own client and the loggers that wait for it: `getLogger`, `install`. Modules make their loggers
 * when they are loaded, which is before the program installs the client; what is logged until then is kept in
 * memory, a bounded number of entries, and goes to the client as soon as it is there.
 */

import { read } from './calls.js';
import { Client } from './client.js';
import type { ClientOptions } from './client-options.js';
import { bound } from './context.js';
import { encode, quoted } from './encode.js';
import { type Fields, lineOf, voiceOf } from './entry.js';
import { type Level, TOLD } from './levels.js';
import { Logger, type Sink } from './logger.js';
import { SERIALIZERS } from './serializers.js';
import { observe } from './uncaught.js';

const MAX_PENDING = 1_000;

let client: Client | undefined;
let pending: string[] = [];
let lost = 0;
let loggers: WeakRef<Logger>[] = [];

const sink: Sink = {
  take(logger: Logger, level: Level, first: unknown, second: unknown, rest: readonly unknown[]): void {
    if (client !== undefined) return client.take(logger, level, first, second, rest);
    keep(logger, level, first, second, rest);
  },
  async flush(milliseconds?: number): Promise<boolean> {
    return client === undefined ? pending.length === 0 : client.flush(milliseconds);
  },
  born(child: Logger): void {
    if (client === undefined) remember(child);
  },
};

function keep(logger: Logger, level: Level, first: unknown, second: unknown, rest: readonly unknown[]): void {
  if (pending.length >= MAX_PENDING) {
    lost += 1;
    return;
  }
  try {
    const { fields, error, message } = read(first, second, rest);
    const whole = logger.msgPrefix + message;
    const said = { time: Date.now(), told: TOLD[level], message: whole, fields, error, bound: bound() };
    pending.push(lineOf(logger.voice, said));
  } catch {
    lost += 1;
  }
}

/** A logger of a name that logs to the client that the process has installed, also when that comes later. */
export function getLogger(name = 'app'): Logger {
  const voice = voiceOf(name, client?.fields ?? {}, client?.serializers ?? SERIALIZERS, client?.names);
  const logger = new Logger(sink, voice, client?.levelOf(name) ?? 'info');
  remember(logger);
  return logger;
}

/** Have a logger follow the client that is installed next. */
function remember(logger: Logger): void {
  if (loggers.length >= MAX_PENDING) loggers = loggers.filter((each) => each.deref() !== undefined);
  if (loggers.length < MAX_PENDING) loggers.push(new WeakRef(logger));
}

/** Give a line that was made before there was a client the fields that every entry of the client has. */
function withFields(line: string, fields: Fields): string {
  const own = JSON.parse(line) as object;
  const more = Object.entries(fields).filter(([name]) => !Object.hasOwn(own, name));
  if (more.length === 0) return line;
  return `${line.slice(0, -1)}${more.map(([name, value]) => `,${quoted(name)}:${encode(value)}`).join('')}}`;
}

/**
 * Make the process's client, and have what ends the process logged: one line to start. Returns its first logger.
 * What Node does with an exception that nobody catches stays as it is. Throws `OptionError`.
 *
 * A second call makes a second client, which takes the place of the first; that one is closed.
 */
export function install(options: ClientOptions | Client = {}): Logger {
  const made = options instanceof Client ? options : new Client(options);
  const before = replace(made);
  if (before !== undefined && before !== made) void before.close();
  observe(made);
  return made.logger();
}

/** Put another client, or none, in the place of the process's; returns the one before, still open. */
export function replace(made: Client | undefined): Client | undefined {
  const before = client;
  client = made;
  if (made === undefined) return before;
  for (const line of pending) made.put(withFields(line, made.fields));
  if (lost > 0) made.store.counts.add('full', lost);
  pending = [];
  lost = 0;
  for (const reference of loggers) {
    const logger = reference.deref();
    if (logger !== undefined) adopt(logger, made);
  }
  loggers = loggers.filter((each) => each.deref() !== undefined);
  return before;
}

function adopt(logger: Logger, made: Client): void {
  logger.follow(made.levelOf(logger.voice.name), made.fields, made.serializers, made.names);
}

/** The client that the process has installed. */
export function installed(): Client | undefined {
  return client;
}

/** Send everything that was logged, within so many milliseconds. Says whether it was. */
export async function flush(milliseconds?: number): Promise<boolean> {
  return sink.flush(milliseconds);
}

/** Flush, and end the client that the process has installed. Loggers keep what comes later for another. */
export async function close(milliseconds?: number): Promise<boolean> {
  const ending = client;
  client = undefined;
  observe(undefined);
  return ending === undefined ? true : ending.close(milliseconds);
}
