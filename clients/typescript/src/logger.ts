/**
 * The logger as users of pino write it: `log.info(fields, message)`, `log.info(message, ...values)`,
 * `log.error(error)`, `log.child(fields)`. A call below the level costs a comparison. No call throws.
 */

import { type Fields, type Serializer, type Serializers, type Voice, voiceOf } from './entry.js';
import type { Names } from './names.js';
import { LEVELS, type Level, type LevelOrSilent, NAMES, levelOf, numberOf } from './levels.js';

export interface LogFn {
  /** An entry with fields. An error is its exception, and gives it its message where there is no other. */
  (fields: object | Error | null | undefined, message?: string, ...values: unknown[]): void;
  /** An entry with a message, in which `values` take the places of `%s %d %i %f %j %o %O`. */
  (message: string | number | boolean | bigint | symbol, ...values: unknown[]): void;
}

export interface ChildOptions {
  level?: string;
  serializers?: Record<string, Serializer>;
  /** Stands before every message. */
  msgPrefix?: string;
}

/** What a logger hands its calls to: the client. */
export interface Sink {
  take(logger: Logger, level: Level, first: unknown, second: unknown, rest: readonly unknown[]): void;
  flush(milliseconds?: number): Promise<boolean>;
  /** Told of children, where they are to follow the client that comes. */
  born?(child: Logger): void;
}

export interface Logger extends Record<Level, LogFn> {}

export class Logger {
  /** What it says in each entry; for the client. */
  voice: Voice;
  private number: number;
  private name: LevelOrSilent;
  private own = false; // whether the program has set the level

  /** Loggers are made by `client.logger()`, `getLogger()` and `child()`. */
  constructor(
    /** What takes its calls; for the level methods. */
    readonly sink: Sink,
    voice: Voice,
    level: LevelOrSilent,
    readonly msgPrefix: string = '',
  ) {
    this.voice = voice;
    this.name = level;
    this.number = numberOf(level);
  }

  /** The level, which may be set at any time: entries below it are not made. */
  get level(): string {
    return this.name;
  }

  set level(name: string) {
    this.own = true;
    this.name = levelOf(name);
    this.number = numberOf(this.name);
  }

  get levelVal(): number {
    return this.number;
  }

  /** Whether a call of this level makes an entry. */
  isLevelEnabled(level: string): boolean {
    const number = numberOf(levelOf(level));
    return number !== Infinity && number >= this.number;
  }

  /** A logger whose entries have `bindings` besides those of this one; names that are in both are the child's. */
  child(bindings: Fields, options: ChildOptions = {}): Logger {
    const serializers = { ...this.voice.serializers, ...options.serializers };
    const voice = voiceOf(this.voice.name, { ...this.voice.bindings, ...bindings }, serializers, this.voice.names);
    const level = options.level === undefined ? this.name : levelOf(options.level);
    const child = new Logger(this.sink, voice, level, this.msgPrefix + (options.msgPrefix ?? ''));
    child.own = this.own || options.level !== undefined;
    this.sink.born?.(child);
    return child;
  }

  /** The fields that every entry of this logger has. */
  bindings(): Fields {
    return { ...this.voice.bindings };
  }

  /** Give this logger further fields; children that there are keep theirs. */
  setBindings(bindings: Fields): void {
    const { name, bindings: own, serializers, names } = this.voice;
    this.voice = voiceOf(name, { ...own, ...bindings }, serializers, names);
  }

  /** Be a logger of another client, whose options these are; what the program has set stays. For `install`. */
  follow(level: LevelOrSilent, fields: Fields, serializers: Serializers, names: Names): void {
    const { name, bindings, serializers: own } = this.voice;
    this.voice = voiceOf(name, { ...fields, ...bindings }, { ...serializers, ...own }, names);
    if (this.own) return;
    this.name = level;
    this.number = numberOf(level);
  }

  /** Have everything that was logged sent, as pino has it; `done` is told an error where time ran out. */
  flush(done?: (error?: Error) => void): void {
    void this.sink.flush().then((all) => done?.(all ? undefined : new Error('not everything was sent in time')));
  }

  /** Log nothing, as pino's loggers have it. */
  silent(..._values: unknown[]): void {}
}

for (const level of NAMES) {
  const number = LEVELS[level];
  Object.defineProperty(Logger.prototype, level, {
    configurable: true,
    writable: true,
    value: function (this: Logger, first: unknown, second: unknown, ...rest: unknown[]): void {
      if (number >= this.levelVal) this.sink.take(this, level, first, second, rest);
    },
  });
}
