/**
 * Exceptions as entries tell them: `exceptionOf`. The form is that of the Python client and of what the
 * server reads (docs/context.md): `{"type", "message", "stack", "frames": [{"file", "function", "line"}]}`,
 * frames with the outermost first. Stacks are V8's text
 * (https://v8.dev/docs/stack-trace-api); it is parsed and not asked of `Error.prepareStackTrace`,
 * which belongs to the program.
 */

import { encode } from './encode.js';

export interface Frame {
  file: string;
  function: string;
  line: number;
}

export interface Exception {
  type: string;
  message: string;
  /** As V8 prints it; absent in `causes`. */
  stack?: string;
  frames: Frame[];
  /** What led to it, the nearest first; of an `AggregateError`, what it holds before that. */
  causes?: Exception[];
  [field: string]: unknown;
}

const MAX_FRAMES = 40;
const MAX_STACK = 8_000;
const MAX_MESSAGE = 4_096;
const MAX_CAUSES = 5;
const MAX_LINE = 2_048;
const MAX_OWN = 20;
const TOLD = new Set(['type', 'message', 'stack', 'frames', 'causes', 'cause', 'errors', 'name']);

/** What an entry says of an error, with what led to it, and fields of its own such as `code`. Never throws. */
export function exceptionOf(error: unknown): Exception {
  const stack = isError(error) ? stackOf(error) : '';
  const made: Exception = { ...one(error, stack), stack: cut(stack, MAX_STACK) };
  const causes = causesOf(error).map((each) => one(each, isError(each) ? stackOf(each) : ''));
  if (causes.length > 0) made.causes = causes;
  return made;
}

/** Whether a value is an error, also one of another realm (a `vm` context). Never throws. */
export function isError(value: unknown): value is Error {
  try {
    if (value instanceof Error) return true; // a proxy may throw for being asked
    if (typeof value !== 'object' || value === null) return false;
    return Object.prototype.toString.call(value) === '[object Error]';
  } catch {
    return false;
  }
}

function one(error: unknown, stack: string): Exception {
  if (!isError(error)) return { type: typeName(error), message: cut(shown(error), MAX_MESSAGE), frames: [] };
  const made: Exception = {
    type: typeOf(error),
    message: cut(read(() => textOf(error.message)) ?? '', MAX_MESSAGE),
    frames: framesOf(stack),
  };
  own(error, made);
  return made;
}

/** An error's name, or its class's where the name is the inherited one. */
function typeOf(error: Error): string {
  const name = read(() => textOf(error.name)) ?? '';
  const made = read(() => textOf(error.constructor.name)) ?? '';
  return cut((name === 'Error' || name === '' ? made : name) || 'Error', 256);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined ? '' : encode(value);
}

function stackOf(error: Error): string {
  return read(() => textOf(error.stack)) ?? '';
}

function causesOf(error: unknown): unknown[] {
  const seen: unknown[] = [error];
  const causes: unknown[] = [];
  const found = ledTo(error);
  while (found.length > 0 && causes.length < MAX_CAUSES) {
    const each = found.shift();
    if (seen.includes(each)) continue;
    seen.push(each);
    causes.push(each);
    found.push(...ledTo(each));
  }
  return causes;
}

function ledTo(error: unknown): unknown[] {
  if (!isError(error)) return [];
  const held = read(() => (error instanceof AggregateError ? error.errors.slice(0, MAX_CAUSES) : [])) as unknown;
  const cause = read(() => error.cause);
  return [...(Array.isArray(held) ? held : []), ...(cause === undefined || cause === null ? [] : [cause])];
}

/** Add what a program wrote onto the error: `code`, `errno`, `status` and the like. */
function own(error: object, made: Exception): void {
  const keys = read(() => Object.keys(error)) ?? [];
  for (const key of keys.slice(0, MAX_OWN)) {
    if (TOLD.has(key)) continue;
    const value = read(() => (error as Record<string, unknown>)[key]);
    if (value !== undefined) made[key] = value;
  }
}

/** The calls of a stack as V8 prints it, the outermost first; the innermost ones where there are many. */
export function framesOf(stack: string): Frame[] {
  const frames: Frame[] = [];
  let from = 0;
  while (from < stack.length && frames.length < MAX_FRAMES) {
    let to = stack.indexOf('\n', from);
    if (to === -1) to = stack.length;
    if (to - from <= MAX_LINE) {
      const frame = frameOf(stack.slice(from, to).trim());
      if (frame !== undefined) frames.push(frame);
    }
    from = to + 1;
  }
  return frames.reverse();
}

/** `at f (file:1:2)`, `at async f (file:1:2)`, `at file:1:2`, `at f (eval at g (file:1:2), <anonymous>:3:4)`. */
function frameOf(line: string): Frame | undefined {
  if (!line.startsWith('at ')) return undefined;
  let call = line.slice(3);
  if (call.startsWith('async ')) call = call.slice(6);
  let name = '';
  let place = call;
  const open = call.indexOf(' (');
  if (open !== -1 && call.endsWith(')')) {
    name = call.slice(0, open).replace(/^new /, '');
    place = call.slice(open + 2, -1);
  }
  const found = /:(\d{1,9})(?::\d{1,9})?$/.exec(place);
  if (found === null) return undefined;
  const file = place.slice(0, found.index);
  return { file: pathOf(file), function: name, line: Number(found[1]) };
}

function pathOf(file: string): string {
  if (!file.startsWith('file://')) return file;
  try {
    return decodeURIComponent(new URL(file).pathname);
  } catch {
    return file;
  }
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

function typeName(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return encode(value);
  return read(() => String(value)) ?? '<value that cannot be told>';
}

function read<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch {
    return undefined;
  }
}
