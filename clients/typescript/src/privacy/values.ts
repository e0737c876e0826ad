/**
 * JSON as values that are written again as they were read: numbers keep their digits, objects the order of
 * their names. `JSON.parse` rounds numbers beyond 2^53 and puts names that look like numbers first. Of a name
 * that is there twice the last value counts (as in Python and JavaScript). RFC 8259; nothing else is taken.
 */

import { quoted } from '../encode.js';

/** A number as it is written. */
export class Numeral {
  constructor(readonly text: string) {}
}

export type Value = string | Numeral | boolean | null | Value[] | Members;
export type Members = Map<string, Value>;

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const SPACE = /[ \t\n\r]*/y;
// What stands between the quotes of a string: no control characters, and whole escapes.
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const MAX_DEPTH = 200;

/** Read JSON. Throws `SyntaxError`. */
export function parsed(text: string): Value {
  const reader = new Reader(text);
  const value = reader.value(0);
  reader.end();
  return value;
}

class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(depth: number): Value {
    this.space();
    switch (this.text.charAt(this.at)) {
      case '{':
        return this.members(depth + 1);
      case '[':
        return this.list(depth + 1);
      case '"':
        return this.string();
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      case 'n':
        return this.word('null', null);
      default:
        return new Numeral(this.taken(NUMBER));
    }
  }

  end(): void {
    this.space();
    if (this.at !== this.text.length) throw new SyntaxError('more than one value');
  }

  private members(depth: number): Members {
    if (depth > MAX_DEPTH) throw new SyntaxError('nested too deeply');
    const members: Members = new Map();
    this.at += 1;
    if (this.next('}')) return members;
    do {
      this.space();
      const name = this.string();
      this.expect(':');
      members.set(name, this.value(depth));
    } while (this.next(','));
    this.expect('}');
    return members;
  }

  private list(depth: number): Value[] {
    if (depth > MAX_DEPTH) throw new SyntaxError('nested too deeply');
    const list: Value[] = [];
    this.at += 1;
    if (this.next(']')) return list;
    do list.push(this.value(depth));
    while (this.next(','));
    this.expect(']');
    return list;
  }

  private string(): string {
    const quotedText = this.taken(STRING);
    return quotedText.includes('\\') ? (JSON.parse(quotedText) as string) : quotedText.slice(1, -1);
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw new SyntaxError('no value');
    this.at += word.length;
    return value;
  }

  private taken(expression: RegExp): string {
    expression.lastIndex = this.at;
    const found = expression.exec(this.text)?.[0];
    if (found === undefined || found === '') throw new SyntaxError('no value');
    this.at += found.length;
    return found;
  }

  private space(): void {
    if (this.text.charCodeAt(this.at) > 32) return;
    SPACE.lastIndex = this.at;
    this.at += SPACE.exec(this.text)?.[0].length ?? 0;
  }

  private next(character: string): boolean {
    this.space();
    if (this.text.charAt(this.at) !== character) return false;
    this.at += 1;
    return true;
  }

  private expect(character: string): void {
    if (!this.next(character)) throw new SyntaxError(`no ${character}`);
  }
}

/** Write a value as compact JSON, its texts by `quote`. */
export function written(value: Value, quote: (text: string) => string = quoted): string {
  if (typeof value === 'string') return quote(value);
  if (value instanceof Numeral) return value.text;
  if (Array.isArray(value)) return `[${value.map((each) => written(each, quote)).join(',')}]`;
  if (!(value instanceof Map)) return String(value);
  return `{${Array.from(value, ([name, each]) => `${quote(name)}:${written(each, quote)}`).join(',')}}`;
}

/** A text or a number as its token is made of: whole numbers without a point, whatever they were written like. */
export function plainText(value: string | Numeral): string {
  if (typeof value === 'string') return value;
  if (/^-?[0-9]+$/.test(value.text)) return value.text === '-0' ? '0' : value.text;
  return String(Number(value.text));
}
