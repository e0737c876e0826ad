/** What the worker's parts hand to each other: batches, what became of them, the transports' contract. */

import { createHash } from 'node:crypto';

/**
 * A run of entries of one producer. `first` is the sequence number where its range begins, `count` the length of the
 * range, of which entries that were lost on disk are missing in `entries`. `again` says that it may have been sent
 * before, by this process or another.
 */
export interface Batch {
  producer: string;
  first: number;
  count: number;
  entries: Buffer[];
  again?: boolean;
}

/** Return the batch's 16-byte id, which its range alone decides (docs/clients.md). */
export function batchId(batch: Pick<Batch, 'producer' | 'first' | 'count'>): Buffer {
  const range = Buffer.alloc(12);
  range.writeBigUInt64BE(BigInt(batch.first));
  range.writeUInt32BE(batch.count, 8);
  return createHash('sha256').update('SB2').update(batch.producer).update(range).digest().subarray(0, 16);
}

/**
 * Return the id of a batch whose own stands for other entries, because its folder was copied:
 *
 *     SHA256("SB3" ‖ id ‖ SHA256(entries joined by LF)), first 16 bytes
 */
export function contentId(batch: Batch): Buffer {
  const content = createHash('sha256');
  batch.entries.forEach((entry, place) => content.update(place === 0 ? '' : '\n').update(entry));
  return createHash('sha256').update('SB3').update(batchId(batch)).update(content.digest()).digest().subarray(0, 16);
}

/**
 * What became of a batch.
 *
 * - `sent`: stored for good. `receipt` is what the server said, if it says anything; `refused` are the places of the
 *   entries that were not taken; `altered` says in what the receipt does not fit what was sent, '' where it fits.
 * - `later`: to be sent again, the same, after so many milliseconds at least; 0 leaves it to the shipper.
 * - `refused`: will never be taken.
 * - `large`: was not taken for its size, and would be in parts.
 *
 * `why` is for people: a status, the kind of an error; never a body or a secret.
 */
export type Outcome =
  | { kind: 'sent'; receipt?: Record<string, unknown>; refused?: number[]; altered?: string }
  | { kind: 'later'; why: string; after: number }
  | { kind: 'refused'; why: string }
  | { kind: 'large'; why: string };

/**
 * Where entries go. `send` is called for one batch at a time and never rejects for what the network or the other side
 * does. It may be called again with the same batch, also by another process that took the slot over; where the other
 * side can tell by the batch's id or its entries, it stores them once.
 */
export interface Transport {
  readonly name: string;
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** Send a batch, within so many milliseconds. */
  send(batch: Batch, milliseconds: number): Promise<Outcome>;
  /** Give up connections. */
  close(): void;
}
