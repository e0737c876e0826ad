/**
 * To the console: one line an entry, as people read it, or as it is.
 *
 * A batch whose end was cut off by a kill is written again as a whole.
 */

import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Batch, Outcome, Transport } from '../batches.js';
import { codeOf } from '../disk.js';
import type { TransportOptions } from '../options.js';
import { flag, milliseconds, parsed } from './given.js';

const SHOWN = new Set(['time', 'level', 'logger', 'message', 'exception']);
const COLOURS: Record<string, string> = {
  DEBUG: '2',
  INFO: '32',
  WARNING: '33',
  WARN: '33',
  ERROR: '31',
  CRITICAL: '1;31',
  FATAL: '1;31',
};
const STDERR = 2;

/** Writes to standard error; `raw` writes entries as they are. Colours are for terminals without `NO_COLOR`. */
export class ConsoleTransport implements Transport {
  readonly maxEntries = 1_000;
  readonly maxBytes = 1_000_000;
  private readonly raw: boolean;
  private left: { batch: string; bytes: Buffer } | undefined; // of a batch that a pipe took part of

  constructor(
    readonly name: string,
    options: TransportOptions,
  ) {
    this.raw = flag(options, 'raw');
  }

  async send(batch: Batch): Promise<Outcome> {
    const id = `${batch.producer} ${batch.first} ${batch.count}`;
    if (this.left?.batch !== id) this.left = { batch: id, bytes: Buffer.from(this.text(batch.entries)) };
    try {
      while (this.left.bytes.length > 0) this.left.bytes = this.left.bytes.subarray(writeSync(STDERR, this.left.bytes));
    } catch (error) {
      const code = codeOf(error);
      if (code === 'EAGAIN') return { kind: 'later', why: 'the console is slow', after: 20 };
      // Nobody reads any more, and never will.
      if (code !== 'EPIPE' && code !== 'EBADF') return { kind: 'later', why: `console: ${code}`, after: 0 };
    }
    this.left = undefined;
    return { kind: 'sent' };
  }

  close(): void {}

  private text(entries: readonly Buffer[]): string {
    const coloured = !this.raw && isatty(STDERR) && !process.env['NO_COLOR'];
    return entries.map((entry) => (this.raw ? entry.toString() : shown(entry, coloured)) + '\n').join('');
  }
}

/** Return an entry as people read it: `1970-01-01T00:00:00.000Z INFO     shop: paid cart=7`. */
export function shown(entry: Buffer, coloured = false): string {
  const told = parsed(entry);
  if (!told) return safe(entry.toString());
  const level = plain(told['level']);
  const label = coloured && COLOURS[level] ? `\x1b[${COLOURS[level]}m${level.padEnd(8)}\x1b[0m` : safe(level.padEnd(8));
  const fields = Object.entries(told).filter(([name]) => !SHOWN.has(name));
  const logger = told['logger'] ? `${plain(told['logger'])}: ` : '';
  const rest = fields.map(([name, value]) => `${name}=${shownValue(value)}`).join(' ');
  const text = safe(`${logger}${plain(told['message'])} ${rest}`.trim());
  const time = milliseconds(told);
  return `${time === undefined ? '-' : new Date(time).toISOString()} ${label} ${text}${thrown(told['exception'])}`;
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value);
}

function shownValue(value: unknown): string {
  return typeof value === 'string' && value && !/[ "=\\]/.test(value) ? value : JSON.stringify(value);
}

function thrown(exception: unknown): string {
  if (typeof exception !== 'object' || exception === null) return '';
  const { type, message } = exception as Record<string, unknown>;
  return safe(` (${plain(type)}: ${plain(message)})`);
}

/** Return text whose control and format characters are escapes: what is logged cannot drive the terminal. */
function safe(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0)!.toString(16)}}`);
}
