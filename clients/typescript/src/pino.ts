/**
 * Pino's lines as entries. As a transport, which runs in pino's worker thread,
 *
 *     pino({ transport: { target: '@sentinel/client/pino', options: { url, service } } })
 *
 * and as a stream in the program's own thread, where an entry is on disk before the call returns:
 *
 *     pino(destination({ url, service }))
 *
 * A line keeps all that pino wrote: bindings, fields, error, name. Level and time are written as Sentinel has
 * them, `msg` is the message, `name` the logger, and `err` the exception with its frames.
 */

import { Writable } from 'node:stream';
import { Client } from './client.js';
import type { ClientOptions } from './client-options.js';
import { encode } from './encode.js';
import { type Fields, type Said, type Serializers, type Voice, voiceOf } from './entry.js';
import { framesOf } from './exceptions.js';
import { TOLD, levelOf, toldOf } from './levels.js';

export interface PinoOptions extends ClientOptions {
  /** The names that pino was given for these: `messageKey` and `errorKey`. */
  messageKey?: string;
  errorKey?: string;
  /** Logs to this client, in place of one of its own; in the program's own thread alone. */
  client?: Client;
}

const MAX_LINE = 4_194_304; // characters; what has no line break until then is no line of pino's
const NONE: Serializers = {};
/** What pino adds to the options of a transport. */
const PINOS = new Set(['pinoWillSendConfig', '$context']);

/** What a program needs of a stream to give it to pino. */
export interface Destination {
  /** Pino asks for it to know a stream. */
  readonly writable: true;
  write(line: string): boolean;
  end(): void;
  flush(done?: (error?: Error) => void): void;
  flushSync(): void;
  readonly client: Client;
}

/** A destination for `pino(options, destination)` in the program's own thread. Throws `OptionError`; `write` never does. */
export function destination(options: PinoOptions | Client = {}): Destination {
  const lines = new Lines(options);
  const { client } = lines;
  return {
    writable: true,
    client,
    write: (line) => {
      lines.write(line);
      return true;
    },
    end: () => void client.close(),
    flush: (done) => void client.flush().then((all) => done?.(all ? undefined : new Error('not all was sent in time'))),
    flushSync: () => {}, // an entry is on disk when its call returns
  };
}

/** The transport that pino loads by `target`. Throws `OptionError`. */
export default function transport(options: PinoOptions = {}): Writable {
  const own = Object.entries(options).filter(([name]) => !PINOS.has(name));
  const lines = new Lines(Object.fromEntries(own) as PinoOptions);
  return new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      lines.write(typeof chunk === 'string' ? chunk : lines.decoded(chunk));
      done();
    },
    final(done) {
      lines.end();
      void lines.client.close().finally(() => done());
    },
  });
}

class Lines {
  readonly client: Client;
  private rest = '';
  private readonly decoder = new TextDecoder();
  private readonly voices = new Map<string, Voice>();
  private readonly message: string;
  private readonly error: string;

  constructor(options: PinoOptions | Client) {
    const own = options instanceof Client ? {} : options;
    const { messageKey = 'msg', errorKey = 'err', client, ...others } = own;
    this.message = messageKey;
    this.error = errorKey;
    this.client = options instanceof Client ? options : (client ?? new Client(others));
  }

  /** Text of bytes, of which a character may be cut in two. */
  decoded(bytes: Uint8Array): string {
    return this.decoder.decode(bytes, { stream: true });
  }

  write(text: string): void {
    let from = 0;
    const all = this.rest === '' ? text : this.rest + text;
    for (let to = all.indexOf('\n'); to !== -1; to = all.indexOf('\n', from)) {
      if (to > from) this.line(all.slice(from, to));
      from = to + 1;
    }
    this.rest = all.slice(from);
    if (this.rest.length > MAX_LINE) this.end();
  }

  end(): void {
    const rest = this.rest;
    this.rest = '';
    if (rest !== '') this.line(rest);
  }

  private line(line: string): void {
    let told: unknown;
    try {
      told = JSON.parse(line);
    } catch {
      told = undefined;
    }
    const isObject = typeof told === 'object' && told !== null && !Array.isArray(told);
    const fields = isObject ? (told as Fields) : { [this.message]: line };
    const { level, time, name, [this.message]: message, [this.error]: error, ...others } = fields;
    const logger = typeof name === 'string' ? name : 'pino';
    const said: Said = {
      time: timeOf(time),
      told: leveled(level),
      message: typeof message === 'string' ? message : message === undefined ? '' : encode(message),
      fields: error === undefined ? others : { ...others, ...thrown(this.error, error) },
      error: undefined,
      bound: undefined,
    };
    this.client.say(this.voice(logger), said);
  }

  private voice(name: string): Voice {
    const known = this.voices.get(name);
    if (known !== undefined) return known;
    const made = voiceOf(name, this.client.fields, NONE, this.client.names);
    if (this.voices.size < 1_000) this.voices.set(name, made);
    return made;
  }
}

/** Pino's time: epoch milliseconds, or what its other functions for times write. */
function timeOf(time: unknown): number {
  const told = typeof time === 'number' ? time : typeof time === 'string' ? Date.parse(time) : NaN;
  if (!Number.isFinite(told) || told <= 0) return Date.now();
  return told < 1e11 ? told * 1000 : told; // `unixTime` writes seconds
}

/** A level by number, or by the label that `formatters.level` may write; levels of the program's own keep theirs. */
function leveled(level: unknown): string {
  if (typeof level === 'number') return toldOf(level);
  if (typeof level !== 'string') return TOLD.info;
  try {
    const known = levelOf(level);
    return known === 'silent' ? TOLD.info : TOLD[known];
  } catch {
    return level.toUpperCase().slice(0, 64);
  }
}

/** An error as pino's serializer writes it, as an exception with frames. */
function thrown(key: string, error: unknown): Fields {
  if (typeof error !== 'object' || error === null || !('stack' in error)) return { [key]: error };
  const { type, message, stack, ...others } = error as Fields;
  return { exception: { type, message, stack, frames: framesOf(String(stack)), ...others } };
}
