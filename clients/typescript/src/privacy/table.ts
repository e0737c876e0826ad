/**
 * The detector table: what is looked for, of the package's copy of `clients/detectors.json`. Expressions are
 * compiled when a text first gets past their gates: most programs never need most of them.
 */

import { DETECTORS } from '../detectors.js';
import { type Check, checksByName } from './checks.js';

interface Row {
  readonly id: string;
  readonly kind: string;
  readonly pattern: string;
  readonly gates: readonly string[];
  readonly run?: number;
  readonly digits?: number;
  readonly group?: number | readonly number[];
  readonly checks?: readonly string[];
  readonly ignore_case?: boolean;
  readonly off?: boolean;
}

interface Document {
  readonly kinds: Readonly<Record<string, string>>;
  readonly names: Readonly<Record<'ends' | 'whole' | 'except', readonly string[]>>;
  readonly phones: readonly string[];
  readonly pairs: { readonly name: readonly string[]; readonly value: readonly string[] };
  readonly flat: readonly string[];
  readonly iban: Readonly<Record<string, number>>;
  readonly detectors: readonly Row[];
}

const DOCUMENT: Document = DETECTORS;

/** One row of the table: finds values of its kind in a text. */
export class Detector {
  readonly id: string;
  readonly kind: string;
  readonly off: boolean;
  readonly gates: readonly string[];
  /** The longest run of letters, digits, `_` and `-`, and the number of digits, that a text has at least. */
  readonly run: number;
  readonly digits: number;
  readonly ignoresCase: boolean;
  private readonly groups: readonly number[];
  private readonly checks: readonly Check[];
  private expression: RegExp | undefined;
  private tried: RegExp | undefined;

  constructor(private readonly row: Row, checks: Readonly<Record<string, Check>>) {
    this.id = row.id;
    this.kind = row.kind;
    this.off = row.off ?? false;
    this.gates = row.gates;
    this.run = row.run ?? 0;
    this.digits = row.digits ?? 0;
    this.ignoresCase = row.ignore_case ?? false;
    this.groups = typeof row.group === 'object' ? row.group : [row.group ?? 0];
    this.checks = (row.checks ?? []).map((name) => {
      const check = checks[name];
      if (check === undefined) throw new Error(`the table names no check: ${name}`);
      return check;
    });
  }

  /** Whether the expression finds anything; checks are not asked. Where it ignores case, the text has small letters. */
  tries(text: string): boolean {
    this.tried ??= new RegExp(this.row.pattern);
    return this.tried.test(text);
  }

  /**
   * Call `found` with where values stand: start and end. The gates were asked before. An expression that ignores
   * case has small letters only, and is sought in `lower`.
   */
  find(text: string, lower: string, found: (start: number, end: number) => void): void {
    this.expression ??= new RegExp(this.row.pattern, 'dg');
    for (const each of (this.ignoresCase ? lower : text).matchAll(this.expression)) {
      const places = this.groups.map((number) => each.indices?.[number]);
      const [start, end] = places.find((place) => place !== undefined) ?? [0, 0];
      if (start === end) continue;
      const value = text.slice(start, end);
      let counts = value.length;
      for (const check of this.checks) counts = Math.min(counts, check(value));
      if (counts > 0) found(start, start + counts);
    }
  }
}

/** A text with small ASCII letters, as long as it was. */
export function lowered(text: string): string {
  return /[^\0-\x7f]/.test(text) ? text.replace(/[A-Z]+/g, (each) => each.toLowerCase()) : text.toLowerCase();
}

export const KINDS: readonly string[] = Object.keys(DOCUMENT.kinds);
const CHECKS = checksByName(DOCUMENT.iban);
export const TABLE: readonly Detector[] = DOCUMENT.detectors.map((row) => new Detector(row, CHECKS));
export const PAIR_NAMES: ReadonlySet<string> = new Set(DOCUMENT.pairs.name);
export const PAIR_VALUES: ReadonlySet<string> = new Set(DOCUMENT.pairs.value);
export const FLAT: ReadonlySet<string> = new Set(DOCUMENT.flat);

const ENDS = DOCUMENT.names.ends;
const WHOLE: ReadonlySet<string> = new Set(DOCUMENT.names.whole);
const EXCEPT: ReadonlySet<string> = new Set(DOCUMENT.names.except);
const PHONES: ReadonlySet<string> = new Set(DOCUMENT.phones);
const PASSWORDS = ['pass', 'pwd', 'kennwort', 'senha'];

/** What the value of a field of this name is, judged by the name alone; "" for nothing special. */
export function kindOfName(name: string): string {
  const letters = name.toLowerCase().replace(/[^a-z0-9]+/g, '');
  let end = letters.length;
  while (end > 0 && letters.charCodeAt(end - 1) < 58) end -= 1;
  const plain = letters.slice(0, end) || name;
  if (PHONES.has(plain)) return 'phone';
  if (EXCEPT.has(plain) || !(WHOLE.has(plain) || ENDS.some((each) => plain.endsWith(each)))) return '';
  return PASSWORDS.some((each) => plain.includes(each)) ? 'password' : 'secret';
}

/** A name of a list of alternating names and values, such as Node's `rawHeaders`. */
export function isFlat(name: string): boolean {
  return FLAT.has(name.toLowerCase().replace(/[-_]/g, ''));
}
