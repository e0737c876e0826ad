/**
 * One entry as a line of JSON: `{"time", "level", "logger", "message", fields…, "trace_id", "span_id",
 * "exception"}`, as the Python client writes it. The line is put together by hand from parts that are made
 * once for a logger; `JSON.stringify` would cost as much as everything else of a call together. No name is
 * twice in it: a field of the call stands for one of its logger, and that for one of the context; a field
 * that is called as the entry's own are gets a `_` behind its name.
 */

import { Bound, activeSpan } from './context.js';
import { NARROW, type Bounds, UNJUDGED, WIDE, ask, asks, begin, named, part, room, spend } from './encode.js';
import { exceptionOf, isError } from './exceptions.js';
import { type Names, asksForWalk } from './names.js';

export type Fields = Record<string, unknown>;
export type Serializer = (value: never) => unknown;
export type Serializers = Readonly<Record<string, Serializer>>;

export const MAX_ENTRY = 65_536; // bytes, as the server has it
const MOST = MAX_ENTRY - 64; // what is left has room for `withMember`

const RESERVED: ReadonlySet<string> = new Set(['time', 'level', 'logger', 'message', 'repeated', 'sampled']);
// Names of a call's fields that may be those of something else, or that are read otherwise.
const SPECIAL = [...RESERVED, 'trace_id', 'span_id', 'exception', 'err', 'error', '__proto__'];
const MORE = '…';
const UNREADABLE = '<value that cannot be told>';

/** What a logger says in each entry, and how it reads certain fields. */
export interface Voice {
  readonly name: string;
  readonly bindings: Fields;
  readonly serializers: Serializers;
  /** `"logger":…` and the bindings as JSON. */
  readonly head: string;
  readonly text: string;
  /** The names of the entry itself and of the bindings. */
  readonly taken: ReadonlySet<string>;
  /** Names that a call's fields cannot simply have. */
  readonly special: ReadonlySet<string>;
  /** How its names are judged, and what those of the bindings ask for. */
  readonly names: Names;
  readonly asks: number;
}

/** What one call says. */
export interface Said {
  /** Epoch milliseconds. */
  readonly time: number;
  /** The level's name. */
  readonly told: string;
  readonly message: string;
  readonly fields: Fields | undefined;
  readonly error: unknown;
  readonly bound: Bound | undefined;
}

/** Make a logger's voice. What cannot be written of the bindings is named as unreadable. */
export function voiceOf(name: string, bindings: Fields, serializers: Serializers, names: Names = UNJUDGED): Voice {
  begin(WIDE, names);
  const members = membersOf(bindings, serializers);
  const taken = new Set([...RESERVED, ...members.keys()]);
  const special = new Set([...SPECIAL, ...taken, ...Object.keys(serializers)]);
  const head = `"logger":${part(name) ?? '""'}`;
  const text = textOf(members);
  return { name, bindings, serializers, head, text, taken, special, names, asks: asks() };
}

/** Whether the names of the line that was made last ask for a look at its values. */
export function isTelling(): boolean {
  return asksForWalk(asks());
}

/** The line of an entry, cut narrower where it would be too long otherwise. */
export function lineOf(voice: Voice, said: Said): string {
  const made = quick(voice, said) ?? slow(voice, said, WIDE);
  if (made.length * 3 <= MOST || Buffer.byteLength(made) <= MOST) return made;
  const narrow = slow(voice, said, NARROW);
  if (Buffer.byteLength(narrow) <= MOST) return narrow;
  begin(NARROW, voice.names);
  return `${headOf(voice, said)},"cut":true}`;
}

/** An entry's line with a further member, whose name no entry has otherwise. */
export function withMember(line: string, name: 'repeated' | 'sampled', value: number): string {
  return `${line.slice(0, -1)},"${name}":${value}}`;
}

let lastTime = -1;
let lastText = '';

function headOf(voice: Voice, said: Said): string {
  if (said.time !== lastTime) {
    lastTime = said.time;
    lastText = `{"time":${said.time / 1000},"level":"`;
  }
  return `${lastText}${said.told}",${voice.head},"message":${part(said.message) ?? '""'}`;
}

/** The line where no name is special and nothing throws; else undefined. */
function quick(voice: Voice, said: Said): string | undefined {
  const { fields, bound } = said;
  if (said.error !== undefined) return undefined;
  if (bound !== undefined && bound.apart !== voice && !areApart(bound, voice)) return undefined;
  begin(WIDE, voice.names);
  ask(voice.asks);
  let made = headOf(voice, said) + voice.text;
  if (bound !== undefined) {
    made += bound.text;
    ask(bound.asks);
  }
  if (fields !== undefined) {
    const written = plain(fields, voice.special, bound?.names);
    if (written === undefined) return undefined;
    made += written;
  }
  const span = activeSpan();
  if (span === undefined) return `${made}}`;
  if (voice.taken.has('trace_id') || bound?.names.has('trace_id') === true) return undefined;
  return `${made},"trace_id":"${span.trace_id}","span_id":"${span.span_id}"}`;
}

/** Whether a context and a voice have no name in common. Makes the context's text where it is not made yet. */
function areApart(bound: Bound, voice: Voice): boolean {
  if (bound.judged !== voice.names) {
    begin(WIDE, voice.names);
    const members = membersOf(bound.fields, {});
    bound.text = textOf(members);
    bound.names = new Set(members.keys());
    bound.asks = asks();
    bound.judged = voice.names;
  }
  for (const name of bound.names) if (voice.taken.has(name)) return false;
  bound.apart = voice;
  return true;
}

type Some = ReadonlySet<string>;

function plain(fields: Fields, special: Some, names: Some | undefined): string | undefined {
  try {
    const keys = Object.keys(fields);
    if (keys.length > WIDE.keys) return undefined;
    let made = '';
    for (const key of keys) {
      if (special.has(key) || (names !== undefined && names.has(key))) return undefined;
      const value = part(fields[key]);
      if (value !== undefined) made += named(key) + value;
    }
    return made;
  } catch {
    return undefined;
  }
}

/** The line by way of a map of all names. */
function slow(voice: Voice, said: Said, bounds: Bounds): string {
  begin(bounds, voice.names);
  const head = headOf(voice, said);
  const thrown = said.error === undefined ? undefined : part(exceptionOf(said.error));
  const all = membersOf(said.fields, voice.serializers, thrown === undefined);
  for (const [key, value] of membersOf(voice.bindings, voice.serializers)) if (!all.has(key)) all.set(key, value);
  for (const [key, value] of membersOf(said.bound?.fields, {})) if (!all.has(key)) all.set(key, value);
  if (!all.has('trace_id')) for (const [key, id] of Object.entries(activeSpan() ?? {})) all.set(key, `"${id}"`);
  if (thrown !== undefined) put(all, 'exception', thrown);
  return `${head}${textOf(all)}}`;
}

/** Give the entry one of its own members; a field of that name gives way. */
function put(all: Map<string, string>, name: string, value: string): void {
  const other = all.get(name);
  if (other !== undefined) all.set(freeName(`${name}_`, all), other);
  all.set(name, value);
}

/**
 * Names of fields and their JSON. With `exception`, the first error under `err` or `error` becomes the entry's
 * exception; other errors stay where they are.
 */
function membersOf(fields: Fields | undefined, serializers: Serializers, exception = false): Map<string, string> {
  const made = new Map<string, string>();
  let thrown: string | undefined;
  let count = 0;
  const keys = keysOf(fields);
  for (const key of keys) {
    if (count >= WIDE.keys || !room()) {
      made.set(MORE, `"${keys.length - count} more"`);
      break;
    }
    count += 1;
    const value = valueOf(fields as Fields, key, serializers);
    if (exception && thrown === undefined && (key === 'err' || key === 'error') && isError(value)) {
      thrown = part(exceptionOf(value));
      continue;
    }
    const written = part(value);
    if (written === undefined) continue;
    const name = freeName(key, made);
    spend(name);
    made.set(name, written);
  }
  if (thrown !== undefined) put(made, 'exception', thrown);
  return made;
}

function textOf(members: ReadonlyMap<string, string>): string {
  let made = '';
  for (const [key, value] of members) made += named(key) + value;
  return made;
}

function freeName(key: string, made: ReadonlyMap<string, string>): string {
  let name = key.length > 256 ? `${key.slice(0, 256)}${MORE}` : key;
  while (RESERVED.has(name) || made.has(name)) name += '_';
  return name;
}

function keysOf(fields: Fields | undefined): string[] {
  if (fields === undefined) return [];
  try {
    return Object.keys(fields);
  } catch {
    return [];
  }
}

function valueOf(fields: Fields, key: string, serializers: Serializers): unknown {
  try {
    const value = fields[key];
    const serializer = Object.hasOwn(serializers, key) ? serializers[key] : undefined;
    return serializer === undefined ? value : serializer(value as never);
  } catch {
    return UNREADABLE;
  }
}
