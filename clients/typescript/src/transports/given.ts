/** Reads what a transport's options say. Errors name the option, never its value. */

import type { TransportOptions } from '../options.js';

/** Return a text; `fallback` where it is not given. Raises TypeError. */
export function text(options: TransportOptions, name: string, fallback = ''): string {
  const found = options[name] ?? fallback;
  if (typeof found === 'string') return found;
  throw new TypeError(`${options.kind}: ${name} has to be a text`);
}

/** Return a text that has to be there. Raises TypeError. */
export function required(options: TransportOptions, name: string): string {
  const found = text(options, name);
  if (found) return found;
  throw new TypeError(`${options.kind} wants ${name}`);
}

export function number(options: TransportOptions, name: string, fallback: number): number {
  const found = options[name] ?? fallback;
  if (typeof found === 'number' && Number.isFinite(found) && found >= 0) return found;
  throw new TypeError(`${options.kind}: ${name} has to be a number of 0 or more`);
}

export function flag(options: TransportOptions, name: string): boolean {
  const found = options[name] ?? false;
  if (typeof found === 'boolean') return found;
  throw new TypeError(`${options.kind}: ${name} has to be true or false`);
}

/** Return an entry as an object; nothing where it is none. */
export function parsed(entry: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(entry.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Return an entry's `time` (epoch seconds) in epoch milliseconds; nothing where it says none that can be. */
export function milliseconds(entry: Record<string, unknown> | undefined): number | undefined {
  const time = entry?.['time'];
  return typeof time === 'number' && time >= 0 && time < 1e11 ? Math.floor(time * 1000) : undefined;
}
