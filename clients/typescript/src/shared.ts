/**
 * What the caller's thread and the worker share without messages: some integers that both read and write atomically.
 *
 * Sequence numbers are shared modulo 2^32; each side knows the rest, since neither is ever 2^31 entries behind.
 */

import type { Reason } from './counts.js';
import type { Range } from './state.js';

/** Number of the next entry: everything below it is written. Set by the writer. */
export const NEXT = 0;
/** 1 while the worker sleeps until it is woken. The writer sets it to 0 and sends one message. */
export const IDLE = 1;
/** Number of the first entry that some transport has not done yet. Set by the worker, which notifies of it. */
export const DONE = 2;
/** 1: a sync failed, begin a new segment. 2: the slot was taken away, take another. Set by the worker. */
export const ASK = 3;
/** How many requests to finish at the end of the process are answered. Set by the worker, which notifies of it. */
export const ENDED = 4;

const COUNTED: readonly Reason[] = ['corrupt', 'refused', 'altered'];
const COUNTS = 8;
const RANGES = 16;
export const MAX_TRANSPORTS = 16;

export type Shared = Int32Array;

export function makeShared(): Shared {
  return new Int32Array(new SharedArrayBuffer(4 * (RANGES + 2 * MAX_TRANSPORTS)));
}

/** Return the number that is `low` modulo 2^32 and nearest to `near`. */
export function widened(low: number, near: number): number {
  return near + ((low - (near | 0)) | 0);
}

/** Count in the worker. */
export function countShared(shared: Shared, reason: Reason, by: number): void {
  const place = COUNTED.indexOf(reason);
  if (place >= 0) Atomics.add(shared, COUNTS + place, by);
}

/** Return what the worker counted. */
export function sharedCounts(shared: Shared): [Reason, number][] {
  return COUNTED.map((reason, place) => [reason, Atomics.load(shared, COUNTS + place)]);
}

/** Say which range a transport sends now, so that its segments are not evicted. */
export function shareRange(shared: Shared, transport: number, range: Range | undefined): void {
  Atomics.store(shared, RANGES + 2 * transport + 1, 0);
  if (!range) return;
  Atomics.store(shared, RANGES + 2 * transport, range.first | 0);
  Atomics.store(shared, RANGES + 2 * transport + 1, range.count);
}

/** Return the ranges that are being sent. */
export function sharedRanges(shared: Shared, near: number): Range[] {
  const all: Range[] = [];
  for (let place = 0; place < MAX_TRANSPORTS; place++) {
    const count = Atomics.load(shared, RANGES + 2 * place + 1);
    if (count) all.push({ first: widened(Atomics.load(shared, RANGES + 2 * place), near), count });
  }
  return all;
}
