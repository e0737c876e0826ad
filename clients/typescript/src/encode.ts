/**
 * JSON of whatever a program logs: `encode`, `fields`. It never throws, and what it makes is bounded: long
 * strings are cut, deep and wide values too, cycles are named, and a getter, a `toJSON` or a proxy that
 * throws costs its own value only. NaN and infinities are their names, as in OTLP's JSON (docs/wire.md);
 * lone surrogates become U+FFFD (Unicode 15, D93b), since strict readers refuse them even when escaped.
 */

import { exceptionOf } from './exceptions.js';
import { Names, PLAIN, TELLING } from './names.js';

export interface Bounds {
  /** Characters of a string. */
  readonly string: number;
  /** Values in values. */
  readonly depth: number;
  /** Keys of an object, items of an array. */
  readonly keys: number;
  /** Bytes of everything together, about. */
  readonly bytes: number;
}

export const WIDE: Bounds = { string: 16_384, depth: 10, keys: 200, bytes: 131_072 };
/** For an entry that is over 65,536 bytes otherwise. */
export const NARROW: Bounds = { string: 1_024, depth: 5, keys: 50, bytes: 40_000 };

const CUT = '…';
const CUT_TEXT = '"…"';
const UNREADABLE = '"<value that cannot be told>"';
const LARGEST = 2n ** 63n;
// What a JSON string needs to escape, and what is no ASCII (lone surrogates are among that).
const SPECIAL = /[^ !#-[\]-~]/;

let bounds = WIDE;
let left = 0;

/** JSON of a string, whole. */
export function quoted(value: string): string {
  const length = value.length;
  if (length > 40) return SPECIAL.test(value) ? JSON.stringify(value.toWellFormed()) : `"${value}"`;
  for (let at = 0; at < length; at += 1) {
    const code = value.charCodeAt(at);
    if (code < 32 || code > 126 || code === 34 || code === 92) return JSON.stringify(value.toWellFormed());
  }
  return `"${value}"`;
}

/** Names of whom nothing is known: whatever has them is looked at. */
export const UNJUDGED = new Names(() => TELLING, quoted);

let names = UNJUDGED;
let asked = PLAIN;

/** `,"name":`. What the name asks for is noted for the entry that is being made. */
export function named(name: string): string {
  const known = names.known(name);
  if (known !== undefined) return known;
  const [text, asks] = names.of(name);
  asked |= asks;
  return text;
}

/** What the names of the entry that is being made ask for. */
export function asks(): number {
  return asked;
}

/** Note what names ask for that were written before. */
export function ask(more: number): void {
  asked |= more;
}

/** JSON of any value; `"null"` for what JSON has no value for. For texts; the names in it are not judged. */
export function encode(value: unknown, within: Bounds = WIDE): string {
  let made = 'null';
  apart(() => {
    begin(within, UNJUDGED);
    made = guarded(value, 0, []) ?? 'null';
  });
  return made;
}

/** Begin to count what is written, anew for each entry, whose names are of `known`. */
export function begin(within: Bounds, known: Names): void {
  bounds = within;
  left = within.bytes;
  names = known;
  asked = known.base;
}

/** Call `fn`, which begins entries of its own, in the midst of an entry: what is known of that one stays. */
export function apart(fn: () => void): void {
  const before = [bounds, left, names, asked] as const;
  try {
    fn();
  } finally {
    [bounds, left, names, asked] = before;
  }
}

/** Whether the bounds that `begin` set leave room for more. */
export function room(): boolean {
  return left > 0;
}

/** Count what is written beside values: a name. */
export function spend(name: string): void {
  left -= bounds === WIDE ? name.length : Buffer.byteLength(name);
}

/** JSON of a value of an entry, counted against the bounds that `begin` set; undefined for none. */
export function part(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return string(value);
    case 'number':
      return number(value);
    case 'boolean':
      return value ? 'true' : 'false';
    default:
      return guarded(value, 0, []);
  }
}

function string(value: string): string {
  if (value.length <= 256 && bounds === WIDE && left > 2_048) {
    left -= value.length; // a few bytes more or less than are written, and never many
    return quoted(value);
  }
  const most = Math.min(bounds.string, left);
  if (most <= 0) return CUT_TEXT;
  let written = quoted(value.length > most ? value.slice(0, most) + CUT : value);
  let bytes = Buffer.byteLength(written);
  if (bytes > left) {
    written = quoted(value.slice(0, Math.floor(left / 6)) + CUT); // an escaped character is 6 bytes at most
    bytes = Buffer.byteLength(written);
  }
  left -= bytes;
  return written;
}

function number(value: number): string {
  left -= 8;
  if (Number.isFinite(value)) return value === 0 ? '0' : String(value);
  return `"${String(value)}"`;
}

function guarded(value: unknown, depth: number, above: object[]): string | undefined {
  const height = above.length;
  try {
    return any(value, depth, above);
  } catch {
    above.length = height;
    left -= UNREADABLE.length;
    return UNREADABLE;
  }
}

function any(value: unknown, depth: number, above: object[]): string | undefined {
  switch (typeof value) {
    case 'string':
      return string(value);
    case 'number':
      return number(value);
    case 'boolean':
      left -= 5;
      return value ? 'true' : 'false';
    case 'bigint':
      return bigint(value);
    case 'symbol':
      return string(String(value));
    case 'object':
      if (value === null) return 'null';
      return object(value, depth, above);
    default:
      return undefined; // functions and undefined have no JSON
  }
}

function bigint(value: bigint): string {
  const large = value >= LARGEST || value < -LARGEST;
  const written = large ? string(value.toString(10)) : value.toString(10);
  if (!large) left -= written.length;
  return written;
}

function object(value: object, depth: number, above: object[]): string | undefined {
  if (left <= 0) return CUT_TEXT;
  if (above.includes(value)) return '"<cycle>"';
  if (depth >= bounds.depth) return Array.isArray(value) ? '"<Array …>"' : '"<Object …>"';
  left -= 8;
  const plain = written(value);
  if (typeof plain !== 'object' || plain === null) return any(plain, depth, above);
  above.push(value);
  const made = Array.isArray(plain) ? array(plain, depth, above) : members(plain, depth, above);
  above.pop();
  return made;
}

/** What stands for an object that is more than its members: a primitive value, or another object. */
function written(value: object): unknown {
  if (Array.isArray(value)) return value;
  if (value instanceof Error) return exceptionOf(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Map) return entriesOf(value);
  if (value instanceof Set) return [...head(value)];
  if (value instanceof Uint8Array) return Buffer.from(value.subarray(0, bounds.string)).toString('base64');
  if (ArrayBuffer.isView(value) && 'length' in value) return Array.from(head(value as unknown as Iterable<unknown>));
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return value.valueOf();
  const own = (value as { toJSON?: unknown }).toJSON;
  return typeof own === 'function' ? own.call(value, '') : value;
}

function* head(values: Iterable<unknown>): Iterable<unknown> {
  let count = 0;
  for (const each of values) {
    yield count < bounds.keys ? each : CUT;
    count += 1;
    if (count > bounds.keys) return;
  }
}

function entriesOf(map: Map<unknown, unknown>): object {
  const made: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  let count = 0;
  for (const [key, each] of map) {
    count += 1;
    if (count > bounds.keys + 1) break; // one more says that there are more
    made[typeof key === 'object' && key !== null ? keyText(key) : String(key)] = each;
  }
  return made;
}

function keyText(key: object): string {
  return (guarded(key, bounds.depth - 1, []) ?? '<object>').slice(0, 256);
}

function array(values: readonly unknown[], depth: number, above: object[]): string {
  const most = Math.min(values.length, bounds.keys);
  let made = '';
  let at = 0;
  for (; at < most && left > 0; at += 1) {
    const each = values[at];
    // Lists of pairs, and options of a command: a name of what follows it, perhaps.
    if (typeof each === 'string' ? each.startsWith('-') : Array.isArray(each)) asked |= TELLING;
    made += (at === 0 ? '' : ',') + (guarded(each, depth + 1, above) ?? 'null');
    left -= 1;
  }
  if (at < values.length) made += at === 0 ? CUT_TEXT : ',"…"';
  return `[${made}]`;
}

function members(value: object, depth: number, above: object[]): string {
  const keys = Object.keys(value);
  let made = '';
  let count = 0;
  for (const key of keys) {
    if (count >= bounds.keys || left <= 0) {
      made += `,"…":"${keys.length - count} more"`;
      break;
    }
    count += 1;
    const each = member(value, key, depth + 1, above);
    if (each === undefined) continue;
    const name = named(key);
    spend(name);
    made += name + each;
  }
  return made === '' ? '{}' : `{${made.slice(1)}}`;
}

function member(value: object, key: string, depth: number, above: object[]): string | undefined {
  let each: unknown;
  try {
    each = (value as Record<string, unknown>)[key];
  } catch {
    left -= UNREADABLE.length;
    return UNREADABLE;
  }
  return guarded(each, depth, above);
}
