/**
 * Receipts: whether what a server says it stored is what was sent (docs/wire.md, "The chain").
 *
 *     leaf_n = SHA256("SL1" ‖ salt ‖ L_n)
 *     H_n    = SHA256("SC1" ‖ leaf_n ‖ H_{n-1} ‖ u64(t) ‖ service_id)
 *
 * A server that altered, left out, added or re-ordered an entry cannot name a salt under which the heads are alike.
 */

import { createHash, timingSafeEqual } from 'node:crypto';

export type Receipt = Record<string, unknown>;

/** A receipt is none of the batch; the message says why, without a byte of the batch. */
class Unfit extends Error {
  override name = 'Unfit';
}

/** Read a receipt; raises SyntaxError. Nanoseconds become text: a JavaScript number does not hold them exactly. */
export function parseReceipt(text: string): Receipt {
  const value: unknown = JSON.parse(text.replace(/("t"\s*:\s*)(\d{1,20})/g, '$1"$2"'));
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Receipt;
  throw new SyntaxError('a receipt is a JSON object');
}

/** Return the places of the entries that the server says it did not take. */
function refused(receipt: Receipt, sent: number): number[] {
  const lines = receipt['lines'] ?? [];
  const each = (line: unknown): boolean => Number.isInteger(line) && (line as number) >= 1 && (line as number) <= sent;
  if (!Array.isArray(lines) || !lines.every(each)) throw new Unfit('it names lines that were not sent');
  const ordered = lines.every((line, place) => place === 0 || line > lines[place - 1]);
  const whole = (receipt['rejected'] ?? 0) === lines.length;
  if (!whole || !ordered) throw new Unfit('it does not say which entries were refused');
  return lines.map((line: number) => line - 1);
}

/** Return the same; none where the receipt does not say it as it should, which `fault` tells. */
export function refusedPlaces(receipt: Receipt, sent: number): number[] {
  try {
    return refused(receipt, sent);
  } catch {
    return [];
  }
}

function number(told: Receipt, name: string): number {
  const found = told[name];
  if (Number.isSafeInteger(found) && (found as number) >= 0) return found as number;
  throw new Unfit(`its ${name} is no number`);
}

function time(told: Receipt): bigint {
  const found = told['t'];
  if (typeof found !== 'string' || BigInt(found) >= 1n << 64n) throw new Unfit('its t is no number');
  return BigInt(found);
}

/** Return a field of exactly `size` bytes: a shorter salt would move bytes between salt and entry. */
function bytes(told: Receipt, name: string, size = 32): Buffer {
  const found = told[name];
  const raw = typeof found === 'string' && found.length === 2 * size ? Buffer.from(found, 'hex') : Buffer.alloc(0);
  if (raw.length !== size) throw new Unfit(`its ${name} is no hash`);
  return raw;
}

function headOf(prev: Buffer, salt: Buffer, entries: readonly Buffer[], t: bigint, service: string): Buffer {
  const moment = Buffer.alloc(8);
  moment.writeBigUInt64BE(t);
  return entries.reduce((head, entry) => {
    const leaf = createHash('sha256').update('SL1').update(salt).update(entry).digest();
    return createHash('sha256').update('SC1').update(leaf).update(head).update(moment).update(service).digest();
  }, prev);
}

/** Check where a segment stands: behind the one before, which ends at `end` with the head `head`. */
function follows(chain: string, first: number, prev: Buffer, end: number, head: Buffer | undefined): void {
  if (first < end || (!head && first !== end)) throw new Unfit('its segments are not in order');
  const genesis = first === 0 ? createHash('sha256').update('SG1').update(chain).digest() : undefined;
  const expected = genesis ?? (first === end ? head : undefined);
  if (expected && !timingSafeEqual(prev, expected)) throw new Unfit('a segment is not linked to what is before it');
}

/** Compute the heads of all segments; return the last one and its time. */
function followed(receipt: Receipt, stored: readonly Buffer[], chain: string, owner: string): [Buffer, bigint] {
  const segments = receipt['segments'];
  if (!Array.isArray(segments) || segments.length === 0) throw new Unfit('it does not say what its head is made of');
  let [at, end, t] = [0, number(receipt, 'first'), 0n];
  let head: Buffer | undefined;
  for (const segment of segments as unknown[]) {
    if (typeof segment !== 'object' || segment === null) throw new Unfit('it does not say what its head is made of');
    const told = segment as Receipt;
    const [first, count, prev, now] = [number(told, 'first'), number(told, 'count'), bytes(told, 'prev'), time(told)];
    if (count < 1 || at + count > stored.length) throw new Unfit('its segments hold another number of entries');
    follows(chain, first, prev, end, head);
    if (now < t) throw new Unfit('its time runs backwards');
    head = headOf(prev, bytes(told, 'salt'), stored.slice(at, at + count), now, owner);
    if (!timingSafeEqual(bytes(told, 'head'), head)) throw new Unfit('a head is not that of what was sent');
    [at, end, t] = [at + count, first + count, now];
  }
  if (at !== stored.length) throw new Unfit('its segments hold another number of entries');
  return [head!, t];
}

function check(receipt: Receipt, sent: readonly Buffer[], id: Buffer, service: string): void {
  const left = new Set(refused(receipt, sent.length));
  const stored = sent.filter((_, place) => !left.has(place));
  if (!timingSafeEqual(bytes(receipt, 'batch_id', 16), id)) throw new Unfit('it is of another batch');
  const { chain } = receipt;
  if (typeof chain !== 'string' || !chain.includes('/')) throw new Unfit('it names no chain');
  const owner = chain.slice(0, chain.lastIndexOf('/'));
  if (service && owner !== service) throw new Unfit("it is of another service's chain");
  const count = number(receipt, 'count');
  if (count !== stored.length) throw new Unfit(`it is of ${count} entries where ${stored.length} were sent`);
  const [head, t] = followed(receipt, stored, chain, owner);
  if (!timingSafeEqual(bytes(receipt, 'head'), head) || time(receipt) !== t) {
    throw new Unfit('its head is not that of its last segment');
  }
}

/**
 * Say in what a receipt does not fit the entries that were sent under a batch id; '' where it fits.
 *
 * `service` is the sender's own id; '' where the gateway chooses it, which is then that of the chain.
 */
export function fault(receipt: Receipt, sent: readonly Buffer[], id: Buffer, service: string): string {
  try {
    check(receipt, sent, id, service);
    return '';
  } catch (error) {
    if (error instanceof Unfit) return error.message;
    return 'it cannot be read';
  }
}

/** Return where the batch of a receipt that fits ends, as `Sentinel-Since` says it; nothing where a header cannot. */
export function endOf(receipt: Receipt): string | undefined {
  const { chain, segments } = receipt as { chain: string; segments: { first: number; count: number }[] };
  const last = segments.at(-1)!;
  return /^[\x20-\x7e]+$/.test(chain) ? `${last.first + last.count} ${chain}` : undefined;
}

/** What is kept of a receipt: a server may answer with anything besides. */
const KEPT = ['chain', 'first', 'count', 'head', 't', 'batch_id', 'segments', 'rejected', 'lines'];

/** Return what is kept of a receipt. */
export function keptOf(receipt: Receipt): Receipt {
  return Object.fromEntries(KEPT.filter((name) => name in receipt).map((name) => [name, receipt[name]]));
}

/** Return JSON in which times are numbers again, as the server wrote them. */
export function receiptJson(value: object): string {
  return JSON.stringify(value).replace(/("t":)"(\d{1,20})"/g, '$1$2');
}
