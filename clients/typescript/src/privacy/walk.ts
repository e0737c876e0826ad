/** The walk over one entry: names, paths, texts, and what was hidden once is hidden everywhere in the entry. */

import { MASKED, phone } from './checks.js';
import type { PathAction, Paths } from './paths.js';
import type { Scanner } from './scanner.js';
import { type Detector, PAIR_NAMES, PAIR_VALUES, isFlat } from './table.js';
import { type Members, Numeral, type Value, parsed, plainText, written } from './values.js';

/** What is done with a value. */
export type Action = 'mask' | 'drop' | 'hash';

/** An entry could not be masked, so it must not be written: it is dropped and counted as `masking`. */
export class NotMasked extends Error {
  override name = 'NotMasked';
}

/** What a walk goes by, the same for all entries of a policy. */
export interface Rules {
  readonly scanner: Scanner;
  readonly paths: Paths;
  /** The kind of what stands under a name, "" for nothing special. */
  kindOf(name: string): string;
  /** What stands in place of a value: the value itself where the policy allows it. */
  hide(kind: string, value: string, action: Action): string;
  /** What is done with what a detector finds, and with what stands under a name of a kind. */
  found(detector: Detector): Action;
  named(kind: string): Action;
  /** The encrypted form of a field. */
  encrypt(path: string, value: Value): Value;
}

const MAX_DEPTH = 100; // levels of an entry
const MAX_INNER = 4; // levels of JSON in texts of JSON
const MAX_HUNTED = 64; // values of one entry that are looked for everywhere in it
const SURE = 6; // characters from which on a value is looked for, if it has more than letters
const LONG = 12; // and if it has letters only
const LEAST_NUMBER = 1e12; // numbers below it are nobody's
const FIELD = 'field'; // the kind of what a path names

/** One entry's walk. `changed` says whether anything was hidden. */
export class Walk {
  changed = false;
  private readonly hunted = new Map<string, string>();
  private inner = 0;

  constructor(private readonly rules: Rules) {}

  /** The entry with everything hidden that is to be. Throws `NotMasked` for what is too deep. */
  entry(entry: Members): Value {
    const walked = this.members(entry, '', MAX_DEPTH);
    if (this.hunted.size === 0) return walked;
    const known = [...this.hunted].sort(([a], [b]) => b.length - a.length || (a < b ? -1 : 1));
    return again(walked, known);
  }

  private value(value: Value, path: string, depth: number): Value {
    if (typeof value === 'string') return this.text(value);
    if (value instanceof Numeral) return this.number(value);
    if (value instanceof Map) return this.members(value, path, depth);
    if (Array.isArray(value)) return this.list(value, path, depth, false);
    return value;
  }

  private members(members: Members, path: string, depth: number): Members {
    below(depth);
    const said = this.said(members);
    const walked: Members = new Map();
    for (const [name, each] of members) {
      const inner = path === '' ? name : `${path}.${name}`;
      const action = this.rules.paths.action(inner);
      if (action === 'drop') {
        this.changed = true;
        this.learnLeaves(each, `[[${FIELD}]]`);
        continue;
      }
      const kind = this.rules.kindOf(name) || (PAIR_VALUES.has(name.toLowerCase()) ? said : '');
      walked.set(this.text(name), this.field(each, inner, action, kind, depth - 1));
    }
    return walked;
  }

  private field(value: Value, path: string, action: PathAction | '', kind: string, depth: number): Value {
    if (action === 'encrypt') {
      this.changed = true;
      this.learnLeaves(value, `[[${FIELD}]]`);
      return this.rules.encrypt(path, value);
    }
    if (action !== '') return this.leaves(value, FIELD, action, depth);
    return kind === '' ? this.value(value, path, depth) : this.leaves(value, kind, undefined, depth);
  }

  /** The kind of the value of a pair such as `{"key": "password", "value": …}`. */
  private said(members: Members): string {
    for (const [name, each] of members) {
      if (typeof each !== 'string' || !PAIR_NAMES.has(name.toLowerCase())) continue;
      const kind = this.rules.kindOf(each);
      if (kind !== '') return kind;
    }
    return '';
  }

  private list(list: readonly Value[], path: string, depth: number, inside: boolean): Value[] {
    below(depth);
    const paired = isFlat(path.slice(path.lastIndexOf('.') + 1)) || (inside && list.length === 2);
    const walked: Value[] = [];
    let kind = '';
    for (const [place, each] of list.entries()) {
      if (kind !== '') walked.push(this.leaves(each, kind, undefined, depth - 1));
      else if (Array.isArray(each)) walked.push(this.list(each, path, depth - 1, true));
      else walked.push(this.value(each, path, depth - 1));
      kind = kind === '' ? this.announced(each, place, paired) : '';
    }
    return walked;
  }

  /** The kind of what follows in a list: after a name of a pair, or after an option as `--password`. */
  private announced(each: Value, place: number, paired: boolean): string {
    if (typeof each !== 'string') return '';
    if (paired && place % 2 === 0) return this.rules.kindOf(each);
    return each.startsWith('-') && !each.includes('=') ? this.rules.kindOf(each) : '';
  }

  /** Hide every text and number of a value; names, true, false and null stay. */
  private leaves(value: Value, kind: string, action: Action | undefined, depth: number): Value {
    below(depth);
    if (value instanceof Map) {
      const hidden = (each: Value): Value => this.leaves(each, kind, action, depth - 1);
      return new Map(Array.from(value, ([name, each]) => [this.text(name), hidden(each)]));
    }
    if (Array.isArray(value)) return value.map((each) => this.leaves(each, kind, action, depth - 1));
    if (value === null || typeof value === 'boolean' || value === '') return value;
    const text = unquoted(plainText(value));
    if (isMasked(text)) return value;
    if (kind === 'phone' && phone(text) === 0) return this.value(value, '', depth);
    const hidden = this.rules.hide(kind, text, action ?? this.rules.named(kind));
    if (hidden === text) return value;
    this.changed = true;
    this.learn(text, hidden.startsWith('[[') ? hidden : this.rules.hide(kind, text, 'mask'));
    return hidden;
  }

  private text(text: string): string {
    let shown = text;
    const first = text.charAt(0);
    const last = text.at(-1);
    const isJson = (first === '{' || first === '[') && (last === '}' || last === ']');
    if (isJson && this.inner < MAX_INNER) shown = this.json(text);
    if (shown === text) shown = this.rules.scanner.replace(text, this.put);
    if (shown !== text) this.changed = true;
    return shown;
  }

  /** Walk over JSON that a text holds; the same text where nothing of it is hidden, or it is none. */
  private json(text: string): string {
    let value: Value;
    try {
      value = parsed(text);
    } catch {
      return text;
    }
    const before = this.changed;
    this.changed = false;
    this.inner += 1;
    const walked = this.value(value, '', MAX_DEPTH);
    this.inner -= 1;
    const hidden = this.changed;
    this.changed = before || hidden;
    return hidden ? written(walked, JSON.stringify) : text; // half a pair of surrogates stays an escape
  }

  private readonly put = (detector: Detector, value: string): string => {
    const shown = this.rules.hide(detector.kind, value, this.rules.found(detector));
    if (shown !== value && (detector.kind === 'password' || detector.kind === 'secret')) this.learn(value, shown);
    return shown;
  };

  private number(value: Numeral): Value {
    if (!/^-?[0-9]+$/.test(value.text) || Math.abs(Number(value.text)) < LEAST_NUMBER) return value;
    const shown = this.rules.scanner.replace(value.text, this.put);
    if (shown === value.text) return value;
    this.changed = true;
    return shown;
  }

  private learn(value: string, shown: string): void {
    const least = /^[A-Za-z]+$/.test(value) ? LONG : SURE;
    const isNew = value.length >= least && !this.hunted.has(value);
    if (isNew && this.hunted.size < MAX_HUNTED) this.hunted.set(value, shown);
  }

  private learnLeaves(value: Value, shown: string): void {
    if (value instanceof Map) for (const each of value.values()) this.learnLeaves(each, shown);
    else if (Array.isArray(value)) for (const each of value) this.learnLeaves(each, shown);
    else if (typeof value === 'string') this.learn(value, shown);
  }
}

/** What stands between quotes: frames have values as Python writes them. */
function unquoted(text: string): string {
  return /^b?(["'])([^\n]+)\1$/.exec(text)?.[2] ?? text;
}

function below(depth: number): void {
  if (depth <= 0) throw new NotMasked('the entry is nested too deeply');
}

function isMasked(text: string): boolean {
  return MASKED.exec(text)?.[0].length === text.length;
}

/** Put what stands for values in their place wherever else they are. */
function again(value: Value, known: readonly (readonly [string, string])[]): Value {
  if (typeof value === 'string') {
    let text = value;
    for (const [each, shown] of known) if (text.includes(each)) text = text.replaceAll(each, () => shown);
    return text;
  }
  if (value instanceof Map) {
    if (value.has('$enc')) return value;
    return new Map(Array.from(value, ([name, each]) => [again(name, known) as string, again(each, known)]));
  }
  return Array.isArray(value) ? value.map((each) => again(each, known)) : value;
}
