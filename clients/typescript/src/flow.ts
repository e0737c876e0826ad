/**
 * What the program's policy leaves out before an entry is made: sampling, rates by key, repeats. In this order.
 * Each is off unless options say otherwise, and whatever is left out is counted by its reason. Times are epoch
 * milliseconds of the entries, so nothing here asks a clock. The rules are those of the Python client.
 */

import { type Bounds, encode } from './encode.js';
import type { Counts } from './counts.js';
import type { Fields } from './entry.js';
import { levelOf, numberOf } from './levels.js';
import { OptionError } from './options.js';

export interface SamplingRule {
  /** A logger and those below it; all, where it is left out. */
  logger?: string;
  /** The rule is for entries up to this level; all, where it is left out. */
  level?: string;
  /** The part that is kept, 0 to 1. */
  rate: number;
}

export interface RateRule {
  /** What calls have a bucket together: `logger`, `template`, `level` or names of fields. */
  by?: string | string[];
  perSecond: number;
  /** How many at once; `perSecond` or 1 where it is left out. */
  burst?: number;
  logger?: string;
  level?: string;
}

export interface FlowOptions {
  sampling?: SamplingRule[];
  rates?: RateRule[];
  repeatsSeconds?: number;
}

/** One call as policy sees it. `template` is the message before its values; `trace` hex, or empty. */
export interface Passing {
  readonly time: number;
  readonly level: number;
  readonly logger: string;
  readonly template: string;
  readonly fields: Fields | undefined;
  readonly trace: string;
}

/** Buckets, and repeats that are waited for. */
const MAX_KEYS = 10_000;
const WHOLE = 2 ** 64;
const MAX_KEY_TEXT = 100;
const KEY_BOUNDS: Bounds = { string: 100, depth: 3, keys: 10, bytes: 200 };

interface Which {
  readonly logger: string;
  readonly most: number;
}

interface Bucket {
  held: number;
  since: number;
}

interface Repeat {
  readonly began: number;
  count: number;
  line: string;
}

/** Keeps a part of the calls; of a trace all or none, by its id as OpenTelemetry's samplers decide it. */
export class Sampling {
  private readonly rules: { which: Which; rate: number }[];

  constructor(rules: readonly SamplingRule[], private readonly draw: () => number = Math.random) {
    this.rules = rules.map((each) => {
      const rule = ruleOf('sampling', each, ['logger', 'level', 'rate']);
      return { which: whichOf(rule), rate: numberIn('sampling', rule, 'rate', 1) };
    });
  }

  /** The part that is kept of such calls where this one is kept; 0 where it is not. */
  rate(call: Passing): number {
    const found = this.rules.find((each) => fits(each.which, call));
    if (found === undefined || found.rate >= 1) return 1;
    const end = call.trace.slice(-16);
    const kept = end.length === 16 ? BigInt(`0x${end}`) < found.rate * WHOLE : this.draw() < found.rate;
    return kept ? found.rate : 0;
  }
}

/** Token buckets by key: so many calls a second, and so many at once. */
export class Rates {
  private readonly rules: { which: Which; by: string[]; rate: number; burst: number; buckets: Map<string, Bucket> }[];

  constructor(rules: readonly RateRule[]) {
    this.rules = rules.map((each) => {
      const rule = ruleOf('rates', each, ['by', 'perSecond', 'burst', 'logger', 'level']);
      const rate = numberIn('rates', rule, 'perSecond');
      const burst = numberIn('rates', { burst: Math.max(1, rate), ...rule }, 'burst');
      const by = [rule['by'] ?? ['logger', 'template']].flat().map(String);
      return { which: whichOf(rule), by, rate, burst, buckets: new Map<string, Bucket>() };
    });
  }

  /** Whether every bucket that counts for a call has a token for it; takes one of each until one has none. */
  admits(call: Passing): boolean {
    return this.rules.every((each) => {
      if (!fits(each.which, call)) return true;
      return took(each.buckets, keyOf(each.by, call), call.time, each.rate, each.burst);
    });
  }
}

function took(buckets: Map<string, Bucket>, key: string, now: number, rate: number, burst: number): boolean {
  const bucket = buckets.get(key) ?? { held: burst, since: now };
  buckets.delete(key); // to be the last one again
  bucket.held = Math.min(burst, bucket.held + (Math.max(0, now - bucket.since) / 1000) * rate);
  bucket.since = now;
  const taken = bucket.held >= 1;
  if (taken) bucket.held -= 1;
  if (buckets.size >= MAX_KEYS) {
    for (const oldest of buckets.keys()) {
      buckets.delete(oldest); // the one that was used longest ago
      break;
    }
  }
  buckets.set(key, bucket);
  return taken;
}

function keyOf(by: readonly string[], call: Passing): string {
  return JSON.stringify(by.map((name) => partOf(name, call)));
}

function partOf(name: string, call: Passing): string | number | boolean | null {
  if (name === 'logger') return call.logger;
  if (name === 'template') return call.template;
  if (name === 'level') return call.level;
  try {
    const value = call.fields?.[name];
    if (typeof value === 'string') return value.slice(0, MAX_KEY_TEXT);
    if (typeof value === 'number' || typeof value === 'boolean') return value;
    return value === undefined ? null : encode(value, KEY_BOUNDS).slice(0, MAX_KEY_TEXT);
  } catch {
    return null;
  }
}

/** Calls of one logger, level and template within a window: the first goes out, the others are one entry. */
export class Repeats {
  private readonly open = new Map<string, Repeat>();

  /** `milliseconds` is how long a window is. */
  constructor(readonly milliseconds: number) {}

  /** Whether a call is a repeat, which is kept back; `line` makes the entry that stands for all of them. */
  holds(call: Passing, line: () => string): boolean {
    const key = JSON.stringify([call.logger, call.level, call.template]);
    const found = this.open.get(key);
    if (found === undefined) {
      if (this.open.size < MAX_KEYS) this.open.set(key, { began: call.time, count: 0, line: '' });
      return false;
    }
    if (over(found, call.time, this.milliseconds)) return false; // `ended` comes soon
    found.count += 1;
    found.line = line();
    return true;
  }

  /** The repeats whose window has ended, each with how many they are; they are forgotten. */
  ended(now: number): { line: string; count: number }[] {
    const gone: { line: string; count: number }[] = [];
    for (const [key, found] of this.open) {
      if (!over(found, now, this.milliseconds)) continue;
      this.open.delete(key);
      if (found.count > 0) gone.push(found);
    }
    return gone;
  }

  /** Whether a window is open. */
  get waits(): boolean {
    return this.open.size > 0;
  }
}

function over(repeat: Repeat, now: number, milliseconds: number): boolean {
  return now < repeat.began || now - repeat.began >= milliseconds;
}

/** All three, for one client. Throws `OptionError` for rules that are none. */
export class Flow {
  readonly repeats: Repeats | undefined;
  private readonly sampling: Sampling | undefined;
  private readonly rates: Rates | undefined;

  constructor(options: FlowOptions, private readonly counts: Counts) {
    this.sampling = options.sampling?.length ? new Sampling(options.sampling) : undefined;
    this.rates = options.rates?.length ? new Rates(options.rates) : undefined;
    this.repeats = options.repeatsSeconds ? new Repeats(options.repeatsSeconds * 1000) : undefined;
  }

  /** Whether nothing is ever left out. */
  get idle(): boolean {
    return this.sampling === undefined && this.rates === undefined && this.repeats === undefined;
  }

  /** 0 where a call is left out, and counts it; else the part that is kept of calls like it. */
  admits(call: Passing, line: () => string): number {
    const rate = this.sampling === undefined ? 1 : this.sampling.rate(call);
    if (rate === 0) return this.left('sampled');
    if (this.rates !== undefined && !this.rates.admits(call)) return this.left('rate');
    if (this.repeats !== undefined && this.repeats.holds(call, line)) return this.left('repeated');
    return rate;
  }

  private left(reason: 'sampled' | 'rate' | 'repeated'): 0 {
    this.counts.add(reason);
    return 0;
  }
}

function ruleOf(name: string, told: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof told !== 'object' || told === null) throw new OptionError(`${name}: each rule is an object`);
  const rule: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(told)) {
    const own = key === 'per_second' ? 'perSecond' : key; // as the configuration file has it
    if (!known.includes(own)) throw new OptionError(`${name}: there is no ${key}; there are ${known.join(', ')}`);
    rule[own] = value;
  }
  return rule;
}

function whichOf(rule: Record<string, unknown>): Which {
  const logger = rule['logger'] === undefined ? '' : String(rule['logger']);
  if (rule['level'] === undefined) return { logger, most: Infinity };
  try {
    return { logger, most: numberOf(levelOf(String(rule['level']))) };
  } catch (error) {
    throw new OptionError((error as Error).message);
  }
}

function fits(which: Which, call: Passing): boolean {
  const within = which.logger === '' || call.logger === which.logger || call.logger.startsWith(`${which.logger}.`);
  return within && call.level <= which.most;
}

function numberIn(name: string, rule: Record<string, unknown>, of: string, most = 1e9): number {
  const value = rule[of];
  if (typeof value === 'number' && value >= 0 && value <= most) return value;
  throw new OptionError(`${name}: ${of} is a number from 0 to ${most}`);
}

