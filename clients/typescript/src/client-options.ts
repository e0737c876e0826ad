/** The options of a client: those of its store, and what decides on entries before they get there. */

import type { Fields, Serializer } from './entry.js';
import type { FlowOptions } from './flow.js';
import { type LevelOrSilent, levelOf } from './levels.js';
import { OptionError, STORE_OPTIONS, type StoreOptions, configuration, fileName } from './options.js';
import type { PolicyOptions } from './privacy/policy.js';

export interface ClientOptions extends StoreOptions, FlowOptions {
  /** The name of the first logger; the service's where it is left out. */
  name?: string;
  /** Entries below it are not made. */
  level?: string;
  /** Levels by the beginning of a logger's name. */
  levels?: Record<string, string>;
  /** Fields that every entry has. */
  fields?: Fields;
  /** How fields of certain names are written; for this language alone, in no file. */
  serializers?: Record<string, Serializer>;
  /** What is masked or encrypted before it is on disk. */
  privacy?: PolicyOptions;
}

const LISTS = ['sampling', 'rates'] as const;
const OBJECTS = ['levels', 'fields', 'privacy', 'serializers'] as const;
const TEXTS = ['name', 'level'] as const;

/**
 * What a call, the environment and the configuration file say of a client, in this order. The store reads its
 * own part. Throws `OptionError`, which names the option and shows no value.
 */
export function clientOptions(call: ClientOptions = {}, environ: NodeJS.ProcessEnv = process.env): ClientOptions {
  const file = configuration(environ);
  const known = [...Object.keys(STORE_OPTIONS), ...LISTS, ...OBJECTS, ...TEXTS, 'repeatsSeconds'];
  for (const name of Object.keys(call)) {
    if (!known.includes(name)) throw new OptionError(`there is no option ${name}; there are ${known.join(', ')}`);
  }
  const told: Record<string, unknown> = { ...call };
  for (const name of LISTS) put(told, name, call[name] ?? file[name], Array.isArray, 'a list');
  for (const name of OBJECTS) put(told, name, call[name] ?? file[name], isObject, 'an object');
  for (const name of TEXTS) put(told, name, call[name] ?? environment(environ, name) ?? file[name], isText, 'a text');
  const seconds = call.repeatsSeconds ?? environment(environ, 'repeatsSeconds') ?? file['repeats_seconds'];
  const number = seconds === undefined ? undefined : Number(seconds);
  put(told, 'repeatsSeconds', number, isSeconds, 'a number from 0 to 3600');
  return told as ClientOptions;
}

function environment(environ: NodeJS.ProcessEnv, name: string): string | undefined {
  return environ[`SENTINEL_${fileName(name).toUpperCase()}`] || undefined;
}

type Told = Record<string, unknown>;

function put(told: Told, name: string, value: unknown, is: (value: unknown) => boolean, kind: string): void {
  if (value === undefined || value === null) delete told[name];
  else if (is(value)) told[name] = value;
  else throw new OptionError(`${name} has to be ${kind}`);
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isSeconds(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value <= 3600;
}

/** Levels by the beginning of a logger's name, checked. Throws `OptionError`. */
export class Levels {
  private readonly named: (readonly [string, LevelOrSilent])[];
  private readonly others: LevelOrSilent;

  constructor(level: string | undefined, levels: Readonly<Record<string, string>> | undefined) {
    this.others = checked('level', level ?? 'info');
    const all = Object.entries(levels ?? {}).map(([name, each]) => [name, checked('levels', each)] as const);
    this.named = all.sort(([a], [b]) => b.length - a.length);
  }

  /** The level of a logger: that of the longest name that it is, or is below. */
  of(logger: string): LevelOrSilent {
    const found = this.named.find(([name]) => name === '' || logger === name || logger.startsWith(`${name}.`));
    return found === undefined ? this.others : found[1];
  }
}

function checked(option: string, level: unknown): LevelOrSilent {
  try {
    return levelOf(String(level));
  } catch (error) {
    throw new OptionError(`${option}: ${(error as Error).message}`);
  }
}
