/** The policy: what must not leave, and what is done about it; the `privacy` object of the options. */

import { OptionError } from '../options.js';
import { PATH_ACTIONS, type PathAction, Paths } from './paths.js';
import { KINDS, TABLE } from './table.js';

export type DetectorAction = 'mask' | 'drop' | 'off';

/**
 * Without any of it, all that looks like a secret or personal is masked. In the configuration file the names
 * are written with `_`, as in `key_file`.
 */
export interface PolicyOptions {
  /** Whether anything is hidden at all; true where it is left out. */
  enabled?: boolean;
  /** Whether values under names such as `password` are masked; true where it is left out. */
  names?: boolean;
  /** What is done by kind or by a detector's id: `mask` puts `[[kind:token]]`, `drop` `[[kind]]`, `off` leaves it. */
  detectors?: Record<string, DetectorAction>;
  /** What is done with fields: `drop` leaves one out, `mask` and `hash` put a token there, `encrypt` encrypts. */
  paths?: Record<string, PathAction>;
  /** Values that are left as they are; `*` in them stands for any characters. */
  allow?: string[];
  /** The file of the key of tokens; without one it is drawn and kept in the client's folder. */
  keyFile?: string;
  /** How fields are encrypted. */
  encryption?: Record<string, unknown>;
}

const FOUND: readonly DetectorAction[] = ['mask', 'drop', 'off'];
const MEMBERS = ['enabled', 'names', 'detectors', 'paths', 'allow', 'keyFile', 'encryption'] as const;

/** The policy, checked. */
export class Policy {
  private constructor(
    readonly enabled: boolean,
    readonly names: boolean,
    readonly detectors: Readonly<Record<string, DetectorAction>>,
    readonly paths: Paths,
    readonly allow: readonly string[],
    readonly keyFile: string | undefined,
    readonly encryption: Readonly<Record<string, unknown>> | undefined,
  ) {}

  /** Read options, of a program or of the configuration file. Throws `OptionError`, which names the member. */
  static of(options: PolicyOptions): Policy {
    const told = membersOf(options);
    const encryption = objectOf(told, 'encryption');
    const detectors = wordsOf(told, 'detectors', FOUND);
    const known = new Set([...KINDS, ...TABLE.map((each) => each.id)]);
    for (const name of Object.keys(detectors)) {
      if (known.has(name)) continue;
      throw new OptionError(`privacy.detectors: there is no detector and no kind ${JSON.stringify(name)}`);
    }
    const actions = wordsOf(told, 'paths', PATH_ACTIONS);
    for (const [path, action] of Object.entries(actions)) {
      if (action === 'encrypt' && encryption === undefined) {
        throw new OptionError(`privacy.paths.${path} is encrypted, but privacy.encryption names no key`);
      }
    }
    return new Policy(
      truthOf(told, 'enabled'),
      truthOf(told, 'names'),
      detectors,
      new Paths(actions),
      allowOf(told['allow']),
      keyFileOf(told['keyFile']),
      encryption,
    );
  }

  /** What is done with what a detector of a kind finds; `off` is how the table has it. */
  action(kind: string, detector: string, off = false): DetectorAction {
    return own(this.detectors, detector) ?? own(this.detectors, kind) ?? (off ? 'off' : 'mask');
  }
}

function own<T>(values: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

function membersOf(options: object): Record<string, unknown> {
  const told: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    const member = name === 'key_file' ? 'keyFile' : name;
    if (!(MEMBERS as readonly string[]).includes(member)) {
      throw new OptionError(`privacy has no member ${JSON.stringify(name)}; it is one of ${MEMBERS.join(', ')}`);
    }
    told[member] = value;
  }
  return told;
}

function truthOf(told: Record<string, unknown>, name: string): boolean {
  const value = told[name] ?? true;
  if (typeof value !== 'boolean') throw new OptionError(`privacy.${name} is true or false`);
  return value;
}

function objectOf(told: Record<string, unknown>, name: string): Record<string, unknown> | undefined {
  const value = told[name];
  if (value === undefined) return undefined;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new OptionError(`privacy.${name} is an object`);
}

type Told = Record<string, unknown>;

function wordsOf<T extends string>(told: Told, name: string, known: readonly T[]): Record<string, T> {
  const found = objectOf(told, name) ?? {};
  for (const [key, value] of Object.entries(found)) {
    if ((known as readonly unknown[]).includes(value)) continue;
    throw new OptionError(`privacy.${name}.${key} is one of ${known.join(', ')}`);
  }
  return found as Record<string, T>;
}

function allowOf(value: unknown): readonly string[] {
  const list = value ?? [];
  const isAllowed = (each: unknown): boolean => typeof each === 'string' && /[^*]/.test(each);
  if (Array.isArray(list) && list.every(isAllowed)) return list as string[];
  throw new OptionError('privacy.allow is a list of texts, each with more than *');
}

function keyFileOf(value: unknown): string | undefined {
  if (value === undefined || (typeof value === 'string' && value !== '')) return value;
  throw new OptionError('privacy.keyFile is the name of a file');
}
