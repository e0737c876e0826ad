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
  stack: string;
  frames: Frame[];
  cause?: Exception;
  errors?: Exception[];
  [field: string]: unknown;
}

export const MAX_FRAMES = 50;
const MAX_STACK = 8_000;
const MAX_MESSAGE = 4_096;
const MAX_CAUSES = 5;
const MAX_LINE = 2_048;
const MAX_OWN = 20;
const TOLD = new Set(['type', 'message', 'stack', 'frames', 'cause', 'errors', 'name']);

/** What an entry says of an error, with what led to it, and fields of its own such as `code`. Never throws. */
export function exceptionOf(error: unknown): Exception {
  return told(error, []);
}

/** Whether a value is an error, also one of another realm (a `vm` context). Never throws. */
export function isError(value: unknown): value is Error {
  if (value instanceof Error) return true;
  try {
    return Object.prototype.toString.call(value) === '[object Error]';
  } catch {
    return false;
  }
}

function told(error: unknown, above: unknown[]): Exception {
  if (!isError(error)) return { type: typeName(error), message: cut(shown(error), MAX_MESSAGE), stack: '', frames: [] };
  const stack = read(() => String(error.stack ?? '')) ?? '';
  const made: Exception = {
    type: read(() => String(error.name || error.constructor.name)) ?? 'Error',
    message: cut(read(() => String(error.message)) ?? '', MAX_MESSAGE),
    stack: cut(stack, MAX_STACK),
    frames: framesOf(stack),
  };
  const name = read(() => error.constructor.name);
  if (made.type === 'Error' && name !== undefined && name !== '') made.type = name;
  own(error, made);
  const further = [...above, error];
  if (further.length >= MAX_CAUSES) return made;
  const cause = read(() => error.cause);
  if (cause !== undefined && cause !== null && !further.includes(cause)) made.cause = told(cause, further);
  const errors = read(() => (error instanceof AggregateError ? error.errors : undefined)) as unknown;
  if (Array.isArray(errors)) {
    made.errors = errors.slice(0, MAX_CAUSES).filter((each) => !further.includes(each)).map((each) => told(each, further));
  }
  return made;
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
