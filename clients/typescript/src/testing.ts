/**
 * For the tests of programs that log: a store that keeps entries in memory, and what they can assert of them.
 *
 *     const captured = capture();
 *     captured.log.info({ order: 7 }, 'paid');
 *     captured.assertLogged({ level: 'INFO', message: 'paid', order: 7 });
 */

import { AssertionError } from 'node:assert';
import { isDeepStrictEqual } from 'node:util';
import { Client } from './client.js';
import type { ClientOptions } from './client-options.js';
import { Counts } from './counts.js';
import { MAX_ENTRY, type Fields } from './entry.js';
import type { Logger } from './logger.js';
import { replace } from './pending.js';
import type { Stats, Store } from './store-types.js';

/** An entry as it would be sent. */
export interface Entry extends Fields {
  time: number;
  level: string;
  logger: string;
  message: string;
}

/** What an entry has to have: the same value, a text that matches, or whatever a function says. */
export type Expected = Record<string, unknown>;

const SHOWN = 10;

/** Keeps entries in memory. */
export class MemoryStore implements Store {
  readonly producer = 'js-0000000000000000';
  readonly counts = new Counts();
  readonly lines: string[] = [];
  closed = false;

  append(line: string | Uint8Array): number {
    const text = typeof line === 'string' ? line : Buffer.from(line).toString('utf8');
    if (Buffer.byteLength(text) > MAX_ENTRY) {
      this.counts.add('oversized');
      return -1;
    }
    return this.lines.push(text) - 1;
  }

  async flush(): Promise<boolean> {
    return true;
  }

  async close(): Promise<boolean> {
    this.closed = true;
    return true;
  }

  stats(): Stats {
    const { producer, lines } = this;
    const counts = this.counts.total();
    return { producer, next: lines.length, bridged: 0, counts, diskErrors: {}, failedSyncs: 0, transports: {} };
  }
}

/** A client that logs to memory. */
export class Captured {
  readonly store = new MemoryStore();
  readonly client: Client;
  readonly log: Logger;

  /** Throws `OptionError`. */
  constructor(options: ClientOptions = {}) {
    this.client = new Client(options, this.store);
    this.log = this.client.logger();
  }

  /** What was logged until now. */
  get entries(): Entry[] {
    return this.store.lines.map((line) => JSON.parse(line) as Entry);
  }

  /** Forget what was logged. */
  clear(): void {
    this.store.lines.length = 0;
  }

  /** The entries that have all of these. */
  found(expected: Expected): Entry[] {
    return this.entries.filter((entry) => fits(entry, expected));
  }

  /** The first entry that has all of these. Without one it throws an `AssertionError` that shows what was logged. */
  assertLogged(expected: Expected): Entry {
    const found = this.found(expected)[0];
    if (found !== undefined) return found;
    const message = `nothing was logged with ${shown(expected)}; ${this.told()}`;
    throw new AssertionError({ message, stackStartFn: this.assertLogged });
  }

  /** Throws an `AssertionError` where an entry has all of these. */
  assertNotLogged(expected: Expected): void {
    const found = this.found(expected)[0];
    if (found === undefined) return;
    const message = `this was logged: ${JSON.stringify(found)}`;
    throw new AssertionError({ message, stackStartFn: this.assertNotLogged });
  }

  private told(): string {
    const lines = this.store.lines;
    if (lines.length === 0) return 'nothing was logged at all';
    const more = lines.length > SHOWN ? ` (the last ${SHOWN} of ${lines.length})` : '';
    return `this was${more}:\n${lines.slice(-SHOWN).join('\n')}`;
  }
}

/** A client that logs to memory, for code that is given its logger. Throws `OptionError`. */
export function capture(options: ClientOptions = {}): Captured {
  return new Captured({ level: 'trace', ...options });
}

/**
 * Have what the process's loggers (`getLogger`) log in memory while `fn` runs; the client that was installed
 * before comes back then. Returns what `fn` returns.
 */
export async function capturing<T>(
  fn: (captured: Captured) => T | Promise<T>,
  options: ClientOptions = {},
): Promise<T> {
  const captured = capture(options);
  const before = replace(captured.client);
  try {
    return await fn(captured);
  } finally {
    replace(before);
    await captured.client.close();
  }
}

function fits(entry: Entry, expected: Expected): boolean {
  return Object.entries(expected).every(([name, value]) => has(entry[name], value));
}

function has(told: unknown, value: unknown): boolean {
  if (value instanceof RegExp) return typeof told === 'string' && value.test(told);
  if (typeof value === 'function') return Boolean((value as (told: unknown) => unknown)(told));
  return isDeepStrictEqual(told, value);
}

function shown(expected: Expected): string {
  const text = (value: unknown): unknown => (value instanceof RegExp || typeof value === 'function' ? String(value) : value);
  return JSON.stringify(expected, (_, value: unknown) => text(value));
}
