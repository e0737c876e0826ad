/** The options of a client: those of its store, and what decides on entries before they get there. */

import type { Fields, Serializer } from './entry.js';
import type { FlowOptions } from './flow.js';
import { type LevelOrSilent, levelOf } from './levels.js';
import { LOGGER_OPTIONS, wrongInCall } from './option-table.js';
import { OptionError, type StoreOptions, configuration, given } from './options.js';
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

/**
 * What a call, the environment and the configuration file say of a client, in this order. The store reads its
 * own part. Throws `OptionError`, which names the option and shows no value.
 */
export function clientOptions(call: ClientOptions = {}, environ: NodeJS.ProcessEnv = process.env): ClientOptions {
  const wrong = wrongInCall(call);
  if (wrong) throw new OptionError(wrong);
  const told = given(call, LOGGER_OPTIONS, configuration(environ, call.config), environ);
  const { serializers } = call;
  if (serializers === undefined) return told;
  if (typeof serializers === 'object' && serializers !== null) return { ...told, serializers };
  throw new OptionError('serializers has to be an object');
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
