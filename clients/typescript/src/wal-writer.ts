/**
 * The writing half of the write-ahead log, in the caller's thread: one `write` a frame.
 *
 * What the disk does not take waits in memory, in order and bounded, and is written once it does. Nothing here throws.
 */

import { Bridge } from './bridge.js';
import type { Counts } from './counts.js';
import { codeOf, type Disk, syncFolder, writeAll } from './disk.js';
import { FRAME_BYTES, header, HEADER_BYTES, MAX_ENTRY, seal } from './frames.js';
import type { Fsync } from './options.js';
import type { Budget } from './budget.js';
import { remove, segmentPath } from './segments.js';
import { ASK, NEXT, type Shared } from './shared.js';

export interface WriterOptions {
  fsync: Fsync;
  segmentBytes: number;
  memoryBytes: number;
}

/** A slot that was taken: where to write, and the first number to use. */
export interface Opened {
  folder: string;
  next: number;
  budget: Budget;
}

const RETRY = 100; // milliseconds between two tries of a disk that failed

export class Writer {
  /** Number of the next entry; provisional while the slot could not be taken. */
  next = 0;
  /** Errors of the disk, by code. */
  readonly errors = new Map<string, number>();
  readonly bridge: Bridge;
  private opened: Opened | undefined;
  private file = -1;
  private bytes = 0; // of the segment that is open
  private tried = -Infinity;
  private readonly frame = Buffer.allocUnsafe(FRAME_BYTES + MAX_ENTRY + 4);

  /** `open` takes a slot; it may throw what the disk throws, and is tried again. */
  constructor(
    private readonly open: () => Opened,
    private readonly disk: Disk,
    private readonly options: WriterOptions,
    private readonly shared: Shared,
    private readonly counts: Counts,
  ) {
    this.bridge = new Bridge(options.memoryBytes);
  }

  /** Return the entry's number, or -1 where it was dropped and counted. */
  append(line: string | Uint8Array): number {
    const length = this.encode(line);
    if (length === 0) return -1;
    if (!this.ready()) return this.kept(length);
    const total = FRAME_BYTES + length;
    try {
      if (this.file < 0 || this.bytes + total > this.options.segmentBytes) this.roll();
      if (!this.opened!.budget.has(total) && !this.opened!.budget.room(total, true)) {
        this.counts.add('full');
        return -1;
      }
      this.write(length, this.next);
    } catch (error) {
      this.failed(error);
      return this.kept(length);
    }
    const sequence = this.next++;
    Atomics.store(this.shared, NEXT, this.next | 0);
    return sequence;
  }

  /** Write what waits in memory, if the disk takes it now. Says whether nothing waits any more. */
  drain(): boolean {
    this.tried = performance.now();
    try {
      this.prepare();
      for (let first = this.bridge.first(); first; first = this.bridge.first()) {
        const total = FRAME_BYTES + first.length;
        if (this.file < 0 || this.bytes + total > this.options.segmentBytes) this.roll();
        if (!this.opened!.budget.room(total, false)) return false;
        this.frame.set(first, FRAME_BYTES);
        this.write(first.length, this.next - this.bridge.count);
        this.bridge.shift();
        Atomics.store(this.shared, NEXT, (this.next - this.bridge.count) | 0);
      }
      return true;
    } catch (error) {
      this.failed(error);
      return false;
    }
  }

  /** Close the segment; the next entry begins another. Nothing that waits in memory is lost by it. */
  close(): void {
    if (this.file < 0) return;
    const file = this.file;
    this.file = -1;
    try {
      this.disk.close(file);
    } catch (error) {
      this.note(error);
    }
  }

  /** Leave a slot that is no longer ours; the next entry takes another one. */
  leave(): void {
    this.close();
    this.opened = undefined;
  }

  private note(error: unknown): void {
    const code = codeOf(error);
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
  }

  /** Put the entry where it stands in its frame, and return its length, 0 where it is none. */
  private encode(line: string | Uint8Array): number {
    let length = line.length;
    if (typeof line !== 'string') {
      if (length <= MAX_ENTRY) this.frame.set(line, FRAME_BYTES);
    } else if (length <= MAX_ENTRY) {
      if (length > MAX_ENTRY / 3) length = Buffer.byteLength(line);
      if (length <= MAX_ENTRY) length = this.frame.write(line, FRAME_BYTES);
    }
    if (length >= 1 && length <= MAX_ENTRY) return length;
    this.counts.add(length < 1 ? 'broken' : 'oversized');
    return 0;
  }

  /** Have a slot, heed what the worker asks, and say whether nothing waits in front of the next entry. */
  private ready(): boolean {
    const asked = Atomics.load(this.shared, ASK);
    if (asked !== 0) {
      Atomics.store(this.shared, ASK, 0);
      if (asked === 1) this.close();
      else this.leave();
    }
    if (this.opened && this.bridge.count === 0) return true;
    if (performance.now() - this.tried < RETRY) return false;
    // The frame holds the entry that is to be kept: writing others would write over it.
    const entry = Buffer.from(this.frame);
    const done = this.drain();
    entry.copy(this.frame);
    return done;
  }

  private kept(length: number): number {
    if (!this.bridge.push(this.frame.subarray(FRAME_BYTES, FRAME_BYTES + length))) {
      this.counts.add('disk');
      return -1;
    }
    return this.next++;
  }

  private prepare(): void {
    if (this.opened) return;
    this.opened = this.open();
    this.next = this.opened.next + this.bridge.count;
    Atomics.store(this.shared, NEXT, this.opened.next | 0);
  }

  private write(length: number, sequence: number): void {
    const total = FRAME_BYTES + length;
    seal(this.frame, 0, length, sequence);
    const written = this.disk.write(this.file, this.frame, 0, total);
    if (written !== total) writeAll(this.disk, this.file, this.frame.subarray(written), total - written);
    this.bytes += total;
    this.opened!.budget.add(total);
    if (this.options.fsync === 'always') this.sync();
  }

  /** A sync that failed may have lost what it was for, and the next one would not say so: begin a new segment. */
  private sync(): void {
    try {
      this.disk.sync(this.file);
    } catch (error) {
      this.note(error);
      this.close();
    }
  }

  /** Begin a segment. Raises what the disk raises; then there is none. */
  private roll(): void {
    this.close();
    const { folder, budget } = this.opened!;
    const first = this.next - this.bridge.count;
    const path = segmentPath(folder, first);
    if (budget.renew(first)) remove(path);
    this.file = this.disk.open(path, 'ax', 0o600);
    budget.begin(first, HEADER_BYTES);
    this.bytes = HEADER_BYTES;
    const made = BigInt(Date.now()) * 1_000_000n;
    writeAll(this.disk, this.file, header(first, made), HEADER_BYTES);
    if (this.options.fsync === 'always') syncFolder(folder);
  }

  /**
   * After a failed write: cut away what was written of the frame. Where that fails, or the disk is not just full, the
   * segment is given up; the reader passes over what is broken at its end.
   */
  private failed(error: unknown): void {
    this.note(error);
    this.tried = performance.now();
    if (this.file < 0) return;
    const full = ['ENOSPC', 'EDQUOT'].includes(codeOf(error)) && this.bytes > HEADER_BYTES;
    try {
      this.disk.truncate(this.file, this.bytes);
    } catch (other) {
      this.note(other);
      this.close();
    }
    if (!full) this.close();
  }
}
