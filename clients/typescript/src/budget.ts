/** The disk budget of a slot: which segments there are, and what goes when there is no room. */

import type { Counts } from './counts.js';
import type { WhenFull } from './options.js';
import { remove, type Segment, segmentPath } from './segments.js';
import { DONE, type Shared, sharedRanges, widened } from './shared.js';

export interface BudgetOptions {
  maxBytes: number;
  whenFull: WhenFull;
  /** The longest that one call may wait with `block`, in milliseconds. */
  blockMs: number;
}

export class Budget {
  private used: number;
  private blocked = -1; // what was done when waiting ran out of time: until there is more, waiting is of no use

  /** `done` is the number of the first entry that some transport has not done yet. */
  constructor(
    private readonly folder: string,
    private readonly segments: Segment[],
    private done: number,
    private readonly options: BudgetOptions,
    private readonly shared: Shared,
    private readonly counts: Counts,
  ) {
    this.used = segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /** Say whether so many bytes fit without anything going. */
  has(bytes: number): boolean {
    return this.used + bytes <= this.options.maxBytes;
  }

  /** Have room for so many bytes, as the policy says. With `block` it waits, where `mayWait`. Says whether there is. */
  room(bytes: number, mayWait: boolean): boolean {
    if (this.has(bytes)) return true;
    this.settle();
    while (!this.has(bytes) && this.options.whenFull === 'drop_oldest') if (!this.evict()) return false;
    if (this.has(bytes) || this.options.whenFull !== 'block' || !mayWait) return this.has(bytes);
    return this.waited(bytes);
  }

  /** Note that a segment begins. */
  begin(first: number, bytes: number): void {
    this.segments.push({ first, bytes });
    this.used += bytes;
  }

  /** Note that bytes were added to the newest segment. */
  add(bytes: number): void {
    this.segments.at(-1)!.bytes += bytes;
    this.used += bytes;
  }

  /** Forget the newest segment where it has this name, and so no entry. Says whether it had. */
  renew(first: number): boolean {
    if (this.segments.at(-1)?.first !== first) return false;
    this.used -= this.segments.pop()!.bytes;
    return true;
  }

  /** Forget segments that all transports have done: the worker has deleted them. */
  private settle(): void {
    this.done = widened(Atomics.load(this.shared, DONE), this.done);
    while (this.segments.length > 1 && this.segments[1]!.first <= this.done) this.used -= this.segments.shift()!.bytes;
  }

  /** Delete the oldest segment that is not being sent and not the newest. Says whether there was one. */
  private evict(): boolean {
    const ranges = sharedRanges(this.shared, this.done);
    for (let place = 0; place + 1 < this.segments.length; place++) {
      const { first, bytes } = this.segments[place]!;
      const end = this.segments[place + 1]!.first;
      if (ranges.some((range) => range.first < end && first < range.first + range.count)) continue;
      remove(segmentPath(this.folder, first));
      this.segments.splice(place, 1);
      this.used -= bytes;
      this.counts.add('evicted', Math.max(0, end - Math.max(first, this.done)));
      return true;
    }
    return false;
  }

  private waited(bytes: number): boolean {
    if (this.blocked === this.done) return false;
    const until = performance.now() + this.options.blockMs;
    while (!this.has(bytes)) {
      const left = until - performance.now();
      if (left <= 0) {
        this.blocked = this.done;
        return false;
      }
      Atomics.wait(this.shared, DONE, this.done | 0, left);
      this.settle();
    }
    return true;
  }
}
