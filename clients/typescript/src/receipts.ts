/** Receipts: whether one fits what was sent (docs/wire.md, "The chain"), and the last of them on disk. */

import { createHash, timingSafeEqual } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';

/** One segment that a batch became, as `Sentinel-Receipt: full` tells it. `t` keeps all its digits as text. */
interface Segment {
  count: number;
  prev: Buffer;
  head: Buffer;
  t: bigint;
  salt: Buffer;
}

const KEPT = 10_000;

/** Return a receipt with nanoseconds as text, since they are more than a JavaScript number holds exactly. */
export function parseReceipt(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text.replace(/("t"\s*:\s*)(\d{15,})/g, '$1"$2"'));
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new SyntaxError('a receipt is a JSON object');
}

function hash(value: unknown): Buffer {
  const bytes = typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? Buffer.from(value, 'hex') : undefined;
  if (!bytes) throw new TypeError('not a hash');
  return bytes;
}

function segment(value: Record<string, unknown>): Segment {
  const { count, t } = value;
  if (!Number.isSafeInteger(count) || (count as number) < 1) throw new TypeError('not a count');
  if (!['string', 'number'].includes(typeof t)) throw new TypeError('not a time');
  const made = { prev: hash(value['prev']), head: hash(value['head']), salt: hash(value['salt']) };
  return { count: count as number, t: BigInt.asUintN(64, BigInt(t as string)), ...made };
}

/** Return H of a segment's last entry, made of the entries that we sent. */
function headOf({ prev, t, salt }: Segment, service: string, entries: Buffer[]): Buffer {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(t);
  let head = prev;
  for (const entry of entries) {
    const leaf = createHash('sha256').update('SL1').update(salt).update(entry).digest();
    head = createHash('sha256').update('SC1').update(leaf).update(head).update(time).update(service).digest();
  }
  return head;
}

/** Return the entries that the server took, by the lines (counted from 1) that it named; nothing where it named too few. */
export function taken(receipt: Record<string, unknown>, entries: Buffer[]): Buffer[] | undefined {
  const rejected = receipt['rejected'] ?? 0;
  const problems = Array.isArray(receipt['problems']) ? (receipt['problems'] as { line?: unknown }[]) : [];
  const lines = new Set(problems.map((problem) => problem?.line));
  if (rejected !== lines.size) return undefined;
  return entries.filter((_, place) => !lines.has(place + 1));
}

/**
 * Say whether a receipt fits the entries that the server took: each segment's head is made of them, in this order.
 *
 * A receipt that tells no segments (an older server) says nothing either way, and fits.
 */
export function fits(receipt: Record<string, unknown>, service: string, entries: Buffer[]): boolean {
  if (receipt['segments'] === undefined) return true;
  try {
    const segments = (receipt['segments'] as Record<string, unknown>[]).map(segment);
    let from = 0;
    for (const one of segments) {
      const head = headOf(one, service, entries.slice(from, from + one.count));
      from += one.count;
      if (from > entries.length || !timingSafeEqual(head, one.head)) return false;
    }
    const last = segments.at(-1);
    const whole = from === entries.length && receipt['count'] === entries.length;
    return whole && (!last || timingSafeEqual(last.head, hash(receipt['head'])));
  } catch {
    return false;
  }
}

/** The receipts of a slot: one a line, the last 10,000 at least and twice as many at most, in two files. */
export class Receipts {
  private lines = -1;

  constructor(private readonly folder: string) {}

  private get path(): string {
    return join(this.folder, 'receipts.ndjson');
  }

  /** Keep receipts. Raises what the disk raises. */
  keep(receipts: readonly string[]): void {
    if (receipts.length === 0) return;
    if (this.lines < 0) this.lines = read(this.path).length;
    if (this.lines >= KEPT) {
      fs.renameSync(this.path, join(this.folder, 'receipts.old.ndjson'));
      this.lines = 0;
    }
    fs.appendFileSync(this.path, receipts.map((line) => line + '\n').join(''), { mode: 0o600 });
    this.lines += receipts.length;
  }

  /** Return all that are kept, oldest first. */
  all(): string[] {
    return [...read(join(this.folder, 'receipts.old.ndjson')), ...read(this.path)];
  }
}

function read(path: string): string[] {
  if (!fs.existsSync(path)) return [];
  return fs.readFileSync(path, 'utf8').split('\n').filter((line) => line.endsWith('}'));
}
