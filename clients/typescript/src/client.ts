/**
 * The client: takes what loggers are called with, decides, makes the entry, masks it and gives it to the store.
 * All of that happens in the caller's thread, and none of it throws. What is left out is counted by its reason,
 * and told as an entry at most once a minute and when the client ends.
 */

import { read } from './calls.js';
import { type ClientOptions, Levels, clientOptions } from './client-options.js';
import { activeSpan, bound } from './context.js';
import { apart, quoted } from './encode.js';
import { type Fields, type Said, type Serializers, type Voice } from './entry.js';
import { isTelling, lineOf, voiceOf, withMember } from './entry.js';
import { Flow } from './flow.js';
import { LEVELS, type Level, type LevelOrSilent, TOLD } from './levels.js';
import { openStore } from './log-store.js';
import { Logger, type Sink } from './logger.js';
import { Names } from './names.js';
import { settings } from './options.js';
import { Policy } from './privacy/policy.js';
import { Privacy } from './privacy/privacy.js';
import { SERIALIZERS } from './serializers.js';
import { OWN_NAME, type Stats, type Store } from './store-types.js';

const REPORT_EVERY = 60_000;
const MAX_DEPTH = 3; // of logging by what is being logged
const FLUSH = 5_000;

const open = new Set<Client>();
let watching = false;

export class Client implements Sink {
  /** Where entries go. */
  readonly store: Store;
  private readonly flow: Flow;
  private readonly levels: Levels;
  private readonly options: ClientOptions;
  readonly serializers: Serializers;
  /** The names of fields, judged by the policy. */
  readonly names: Names;
  private readonly privacy: Privacy;
  private readonly own: Voice;
  private readonly name: string;
  private timer: NodeJS.Timeout | undefined;
  private reported = Date.now();
  private depth = 0;
  private ended = false;

  /** Options are read from the call, `SENTINEL_*` and the file of `SENTINEL_CONFIG`. Throws `OptionError`. */
  constructor(options: ClientOptions = {}, store?: Store) {
    this.options = clientOptions(options);
    const known = settings(options);
    this.levels = new Levels(this.options.level, this.options.levels);
    this.serializers = { ...SERIALIZERS, ...this.options.serializers };
    const root = store === undefined ? known.directory : undefined;
    this.privacy = new Privacy(Policy.of(this.options.privacy ?? {}), root);
    this.name = this.options.name ?? (known.service || 'app');
    this.names = new Names((name) => this.privacy.telling(name), quoted);
    this.store = store ?? openStore(options);
    this.flow = new Flow(this.options, this.store.counts);
    this.own = voiceOf(OWN_NAME, this.fields, {}, this.names);
    open.add(this);
    watch();
  }

  /** A logger of a name, with the level that the options have for it. */
  logger(name: string = this.name): Logger {
    return new Logger(this, voiceOf(name, this.fields, this.serializers, this.names), this.levels.of(name));
  }

  /** The level that the options have for a logger of a name. */
  levelOf(name: string): LevelOrSilent {
    return this.levels.of(name);
  }

  /** Fields that every entry has. */
  get fields(): Fields {
    return this.options.fields ?? {};
  }

  /** Take a call of a logger. Never throws. */
  take(logger: Logger, level: Level, first: unknown, second: unknown, rest: readonly unknown[]): void {
    if (this.depth === 0) return this.entered(logger, level, first, second, rest);
    if (this.depth < MAX_DEPTH) return apart(() => this.entered(logger, level, first, second, rest));
    this.store.counts.add('broken'); // what is being logged logs itself
  }

  private entered(logger: Logger, level: Level, first: unknown, second: unknown, rest: readonly unknown[]): void {
    this.depth += 1;
    try {
      this.write(logger, level, first, second, rest);
    } catch {
      this.store.counts.add('broken');
    } finally {
      this.depth -= 1;
    }
  }

  private write(logger: Logger, level: Level, first: unknown, second: unknown, rest: readonly unknown[]): void {
    const call = read(first, second, rest);
    const { voice, msgPrefix } = logger;
    const said: Said = {
      time: Date.now(),
      told: TOLD[level],
      message: msgPrefix === '' ? call.message : msgPrefix + call.message,
      fields: call.fields,
      error: call.error,
      bound: bound(),
    };
    let rate = 1;
    if (!this.flow.idle) {
      const { template, fields } = call;
      const trace = traceOf(said);
      const passing = { time: said.time, level: LEVELS[level], logger: voice.name, template, fields, trace };
      rate = this.flow.admits(passing, () => lineOf(voice, said));
      if (rate === 0) return this.wait();
    }
    const line = lineOf(voice, said);
    this.put(rate < 1 ? withMember(line, 'sampled', rate) : line, isTelling());
    this.wait();
  }

  /** Keep a line, masked; `telling` says whether its names ask for a look at its values. Never throws. */
  put(line: string, telling = true): void {
    let masked: string;
    try {
      masked = this.privacy.line(line, telling);
    } catch {
      this.store.counts.add('masking');
      return;
    }
    this.store.append(masked);
  }

  /** Keep an entry of a voice. Never throws; for transports of other loggers. */
  say(voice: Voice, said: Said): void {
    try {
      const line = lineOf(voice, said);
      this.put(line, isTelling());
    } catch {
      this.store.counts.add('broken');
    }
    this.wait();
  }

  /** Have everything that was accepted sent, within so many milliseconds. Says whether it was. Never rejects. */
  async flush(milliseconds = FLUSH): Promise<boolean> {
    this.settle(Infinity);
    return this.store.flush(milliseconds);
  }

  /** Tell what was left out, flush and give the slot back. What was not sent stays on disk for the next process. */
  async close(milliseconds = FLUSH): Promise<boolean> {
    this.end();
    this.ended = true;
    open.delete(this);
    return this.store.close(milliseconds);
  }

  /** What became of entries, and how far transports are. */
  stats(): Stats {
    return this.store.stats();
  }

  /** Write what waits for its window and what was counted, now; for the end of the process. */
  end(): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    if (this.ended) return;
    this.settle(Infinity);
    this.report();
  }

  /** See that repeats and counts are told, also if nothing else is logged. The timer keeps no process alive. */
  private wait(): void {
    if (this.timer !== undefined || this.ended) return;
    const repeats = this.flow.repeats;
    const soon = repeats?.waits === true ? repeats.milliseconds : REPORT_EVERY;
    this.timer = setTimeout(() => this.tick(), Math.min(soon, REPORT_EVERY));
    this.timer.unref();
  }

  private tick(): void {
    this.timer = undefined;
    const now = Date.now();
    this.settle(now);
    if (now - this.reported >= REPORT_EVERY || now < this.reported) this.report();
    if (this.flow.repeats?.waits === true) this.wait();
  }

  private settle(now: number): void {
    for (const { line, count } of this.flow.repeats?.ended(now) ?? []) this.put(withMember(line, 'repeated', count));
  }

  private report(): void {
    this.reported = Date.now();
    const dropped = this.store.counts.untold();
    const { altered: _, ...leftOut } = dropped; // receipts that do not fit have entries of their own
    if (Object.keys(leftOut).length === 0) return this.store.counts.told(dropped);
    const said = {
      time: this.reported,
      told: TOLD.warn,
      message: 'entries were left out',
      fields: { left_out: leftOut },
      error: undefined,
      bound: undefined,
    };
    if (this.store.append(lineOf(this.own, said)) >= 0) this.store.counts.told(dropped);
  }
}

function traceOf(said: Said): string {
  const told = said.bound?.fields['trace_id'] ?? activeSpan()?.trace_id;
  return typeof told === 'string' && /^[0-9a-f]{32}$/.test(told) ? told : '';
}

/** Let clients that are open tell what they hold back before the process ends: one listener for all of them. */
function watch(): void {
  if (watching) return;
  watching = true;
  const end = (): void => {
    for (const client of open) client.end();
  };
  process.prependListener('beforeExit', end); // before the store's own, which flushes
  process.prependListener('exit', end);
}
