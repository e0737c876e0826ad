/** What a call of a logger means: which of its arguments are fields, the message, an error (`read`). */

import { encode } from './encode.js';
import type { Fields } from './entry.js';
import { isError } from './exceptions.js';
import { interpolated } from './interpolation.js';

export interface Call {
  /** The message before values are put in: what repeats and rates are told by. */
  template: string;
  message: string;
  fields: Fields | undefined;
  error: unknown;
}

/**
 * Read a call's arguments as pino does. Beyond that, an object or an error behind a message that has no `%`
 * are its fields or its error, and a list in the place of fields is `items`, since what is given should not be lost.
 */
export function read(first: unknown, second: unknown, rest: readonly unknown[]): Call {
  if (typeof first === 'string') return worded(first, second, rest);
  if (typeof first !== 'object' || first === null) {
    if (second !== undefined) return worded(text(second), rest[0], rest.slice(1));
    return call('', first === undefined || first === null ? '' : text(first));
  }
  const template = second === undefined ? undefined : text(second);
  const message = template === undefined || rest.length === 0 ? template : interpolated(template, rest);
  if (isError(first)) {
    const own = message ?? messageOf(first);
    return call(template ?? own, own, undefined, first);
  }
  const fields = (isList(first) ? { items: first as unknown[] } : first) as Fields;
  if (message !== undefined) return call(template ?? message, message, fields);
  return unworded(fields);
}

function call(template: string, message: string, fields?: Fields, error?: unknown): Call {
  return { template, message, fields, error };
}

function worded(template: string, second: unknown, rest: readonly unknown[]): Call {
  if (second === undefined && rest.length === 0) return call(template, template);
  if (typeof second === 'object' && second !== null && !template.includes('%')) {
    return isError(second) ? call(template, template, undefined, second) : call(template, template, second as Fields);
  }
  return call(template, interpolated(template, [second, ...rest]));
}

/** Fields alone: their `msg` or `message` is the message, else that of their error. */
function unworded(fields: Fields): Call {
  for (const name of ['msg', 'message']) {
    const value = peek(fields, name);
    if (typeof value !== 'string') continue;
    const { [name]: _, ...others } = fields;
    return call(value, value, others);
  }
  const error = peek(fields, 'err') ?? peek(fields, 'error');
  const message = isError(error) ? messageOf(error) : '';
  return call(message, message, fields);
}

function peek(fields: Fields, name: string): unknown {
  try {
    return fields[name];
  } catch {
    return undefined;
  }
}

function isList(value: unknown): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false; // a proxy that is revoked
  }
}

function messageOf(error: Error): string {
  return text(peek(error as unknown as Fields, 'message'));
}

/** What stands for a message that is no text. Objects are encoded: their own conversion may take for ever. */
function text(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'object' && value !== null ? encode(value) : String(value);
}
