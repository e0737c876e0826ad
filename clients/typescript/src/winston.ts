/**
 * Winston's entries. `new SentinelTransport(options)` goes where transports of winston go:
 *
 *     winston.createLogger({ transports: [new SentinelTransport({ url, service })] })
 *
 * It is a stream of objects, which winston takes beside its own transports (https://github.com/winstonjs/winston,
 * "Adding custom transports"), so winston is needed to use this and not to load it.
 * Fields (`meta`), child fields and errors are kept; levels are written as Sentinel has them, those of the
 * program's own keep their name.
 */

import { Writable } from 'node:stream';
import { Client } from './client.js';
import type { ClientOptions } from './client-options.js';
import { encode } from './encode.js';
import { type Fields, type Said, type Voice, voiceOf } from './entry.js';
import { framesOf, isError } from './exceptions.js';
import { TOLD, levelOf } from './levels.js';

export interface WinstonOptions extends ClientOptions {
  /** Logs to this client, in place of one of its own. */
  client?: Client;
  /** Winston's own, as its transports have them; `level` is one of winston's levels. */
  silent?: boolean;
  handleExceptions?: boolean;
  handleRejections?: boolean;
}

/** What winston's logger is, as far as a transport looks at it. */
interface Parent {
  level?: string;
  levels?: Record<string, number>;
}

const LEVEL = Symbol.for('level'); // triple-beam: what winston wrote before formats changed it
const SPLAT = Symbol.for('splat');

type Info = Fields & { [LEVEL]?: unknown; [SPLAT]?: unknown };

export class SentinelTransport extends Writable {
  readonly client: Client;
  /** Winston looks at these. */
  readonly level?: string;
  readonly silent: boolean;
  readonly handleExceptions: boolean;
  readonly handleRejections: boolean;
  private readonly voices = new Map<string, Voice>();
  private parent: Parent | undefined;

  /** Throws `OptionError`. */
  constructor(options: WinstonOptions | Client = {}) {
    super({ objectMode: true });
    const own = options instanceof Client ? {} : options;
    const { client, silent = false, handleExceptions = false, handleRejections = false, level, ...others } = own;
    this.client = options instanceof Client ? options : (client ?? new Client(others));
    if (level !== undefined) this.level = level;
    this.silent = silent;
    this.handleExceptions = handleExceptions;
    this.handleRejections = handleRejections;
    this.once('pipe', (logger: unknown) => {
      this.parent = logger as Parent;
    });
  }

  /** Take an entry of winston's. Never throws. */
  log(info: unknown, done: () => void = () => {}): void {
    try {
      if (this.takes(info)) this.client.say(this.voice(info), saidOf(info));
    } catch {
      this.client.store.counts.add('broken');
    }
    done();
  }

  /** As winston-transport has it: what an exception ended is for those that say so, and levels are the logger's. */
  private takes(info: unknown): info is Info {
    if (this.silent || typeof info !== 'object' || info === null) return false;
    const told = info as Info;
    if (told['exception'] === true && !this.handleExceptions) return false;
    if (told['rejection'] === true && !this.handleRejections) return false;
    const levels = this.parent?.levels;
    const least = levels?.[this.level ?? this.parent?.level ?? ''];
    const own = levels?.[String(told[LEVEL])];
    return least === undefined || own === undefined || own <= least;
  }

  override _write(info: unknown, _encoding: string, done: () => void): void {
    this.log(info, done);
  }

  override _final(done: () => void): void {
    void this.client.close().finally(done);
  }

  private voice(info: Fields): Voice {
    const label = info['label'] ?? info['service'];
    const name = typeof label === 'string' && label !== '' ? label : 'winston';
    const known = this.voices.get(name);
    if (known !== undefined) return known;
    const made = voiceOf(name, this.client.fields, this.client.serializers, this.client.names);
    if (this.voices.size < 1_000) this.voices.set(name, made);
    return made;
  }
}

function saidOf(info: Info): Said {
  const { level, message, timestamp, stack, ...others } = info;
  const error = isError(info) ? info : isError(message) ? message : undefined;
  const fields: Fields = { ...others };
  if (error === undefined && typeof stack === 'string') fields['exception'] = exceptionIn(info, stack);
  const splat = info[SPLAT];
  const thrown = Array.isArray(splat) ? splat.find(isError) : undefined;
  return {
    time: timeOf(timestamp),
    told: leveled(info[LEVEL] ?? level),
    message: textOf(isError(message) ? message.message : message),
    fields: without(fields, thrown),
    error: error ?? (fields['exception'] === undefined ? thrown : undefined),
    bound: undefined,
  };
}

/** Winston puts an error's own fields among the entry's; what of it is in the exception is not said twice. */
function without(fields: Fields, thrown: unknown): Fields {
  if (!isError(thrown)) return fields;
  const { stack: _, ...others } = fields;
  return others;
}

/** The exception that `format.errors({ stack: true })` has put among the fields. */
function exceptionIn(info: Fields, stack: string): Fields {
  const line = stack.slice(0, stack.indexOf('\n') === -1 ? 256 : Math.min(256, stack.indexOf('\n')));
  const colon = line.indexOf(':');
  const type = colon === -1 ? line : line.slice(0, colon);
  const message = textOf(info['message']);
  return { type: type || 'Error', message, stack: stack.slice(0, 8_000), frames: framesOf(stack) };
}

function textOf(message: unknown): string {
  return typeof message === 'string' ? message : message === undefined ? '' : encode(message);
}

function timeOf(timestamp: unknown): number {
  const told = typeof timestamp === 'string' ? Date.parse(timestamp) : typeof timestamp === 'number' ? timestamp : NaN;
  return Number.isFinite(told) && told > 0 ? told : Date.now();
}

function leveled(level: unknown): string {
  const name = String(level);
  try {
    const known = levelOf(name);
    return known === 'silent' ? TOLD.info : TOLD[known];
  } catch {
    return name.toUpperCase().slice(0, 64);
  }
}
