/** The reading half of the write-ahead log: entries from a number on, past whatever is broken or gone. */

import * as fs from 'node:fs';
import { type Checksum, checksumOf, crc32c } from './checksums.js';
import { codeOf } from './disk.js';
import { FRAME_BYTES, type Frame, frameAt, HEADER_BYTES, kindOf, MAX_ENTRY, nextFrame } from './frames.js';
import { segmentFirsts, segmentPath } from './segments.js';

/**
 * Entries in order. The numbers from `first` to `next` - 1 are accounted for: those that are not in `entries` are lost.
 *
 * `first` is the number of the first entry, where there is one.
 */
export interface Run {
  first: number;
  next: number;
  entries: Buffer[];
}

const CHUNK = 1 << 20;
const NOTHING = Buffer.alloc(0);
const LARGEST = FRAME_BYTES + MAX_ENTRY;

/** Counts numbers that are missing on disk, each once, however many transports come by. */
export class Missing {
  private known = 0;

  constructor(private readonly count: (by: number) => void) {}

  add(from: number, to: number): void {
    const first = Math.max(from, this.known);
    if (to <= first) return;
    this.known = to;
    this.count(to - first);
  }
}

/** Return up to `length` bytes of a file from `offset` on, fewer at its end; nothing where there is no such file. */
function readAt(path: string, offset: number, length: number): Buffer | undefined {
  let file: number;
  try {
    file = fs.openSync(path, 'r');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return undefined;
  }
  try {
    const bytes = Buffer.allocUnsafeSlow(length);
    let got = 0;
    for (let more = 1; more > 0 && got < length; got += more) {
      more = fs.readSync(file, bytes, got, length - got, offset + got);
    }
    return bytes.subarray(0, got);
  } finally {
    fs.closeSync(file);
  }
}

/** A place in a segment, and what was read from there on. */
interface Place {
  segment: number;
  checksum: Checksum;
  /** Where `bytes` begin in the file. */
  offset: number;
  bytes: Buffer;
  /** Where we are in `bytes`. */
  at: number;
  /** Whether `bytes` reach to the end of the file. */
  whole: boolean;
}

export class Reader {
  private place: Place | undefined;
  private due = 0; // the number that is expected at `place`
  private wanted = -1; // entries below this one are not asked for

  /**
   * Read a slot's segments. Gaps between segments below `inherited` are losses; those above are what the writer of this
   * process evicted, which counts them itself.
   */
  constructor(
    private readonly folder: string,
    private readonly inherited: number,
    private readonly missing: Missing,
  ) {}

  /** Return what is there from `first` on, below `limit`: all of that was written. Raises what the disk raises. */
  read(first: number, maxEntries: number, maxBytes: number, limit: number): Run {
    const run: Run = { first, next: first, entries: [] };
    if (this.wanted !== first) this.place = undefined;
    this.wanted = first;
    let bytes = 0;
    while (run.entries.length < maxEntries && this.wanted < limit) {
      const frame = this.frame(limit);
      if (!frame) break;
      const entry = this.place!.bytes.subarray(frame.start, frame.end);
      if (frame.sequence >= this.wanted) {
        bytes += entry.length + 1;
        if (bytes > maxBytes && run.entries.length > 0) break;
        if (run.entries.length === 0) run.first = frame.sequence;
        run.entries.push(entry);
        this.wanted = frame.sequence + 1;
      }
      this.place!.at = frame.end;
      this.due = frame.sequence + 1;
    }
    this.rest();
    run.next = this.wanted;
    return run;
  }

  /** Keep the place, not the bytes. */
  private rest(): void {
    const place = this.place;
    if (place) Object.assign(place, { offset: place.offset + place.at, bytes: NOTHING, at: 0, whole: false });
  }

  /** Return the next whole frame, from this segment or the ones behind it; nothing where `limit` is reached. */
  private frame(limit: number): Frame | undefined {
    for (;;) {
      const place = this.place ?? this.located(limit);
      if (!place) return undefined;
      const found = frameAt(place.bytes, place.at, place.checksum, this.due);
      if (found) return found;
      if (!place.whole && place.bytes.length - place.at < LARGEST) {
        if (!this.load(place, CHUNK)) this.place = undefined;
        continue;
      }
      const behind = this.behind(place);
      if (behind) return behind;
      if (!this.left(place, limit)) return undefined;
    }
  }

  /** Go to the segment that holds the wanted number, or to the next one behind it. */
  private located(limit: number): Place | undefined {
    const firsts = segmentFirsts(this.folder);
    const holder = firsts.filter((one) => one <= this.wanted).at(-1);
    if (holder !== undefined) return this.entered(holder);
    const next = firsts[0] ?? limit;
    this.pass(Math.min(next, limit), firsts.length === 0 || next <= this.inherited);
    return next < limit ? this.entered(next) : undefined;
  }

  /** Stand behind a segment's header. Nothing where the segment is gone meanwhile. */
  private entered(segment: number): Place | undefined {
    const place: Place = { segment, checksum: crc32c, offset: 0, bytes: NOTHING, at: 0, whole: false };
    if (!this.load(place, CHUNK)) return undefined;
    place.checksum = checksumOf(kindOf(place.bytes, segment))!;
    place.at = Math.min(HEADER_BYTES, place.bytes.length);
    this.due = segment;
    this.place = place;
    return place;
  }

  /** Read on from where we are. Says whether the segment is there. */
  private load(place: Place, length: number): boolean {
    const offset = place.offset + place.at;
    const bytes = readAt(segmentPath(this.folder, place.segment), offset, length);
    if (bytes) Object.assign(place, { offset, bytes, at: 0, whole: bytes.length < length });
    return bytes !== undefined;
  }

  /** Look for a whole frame behind a broken one of the same segment. */
  private behind(place: Place): Frame | undefined {
    if (place.whole && place.at === place.bytes.length) return undefined;
    const found = fs.statSync(segmentPath(this.folder, place.segment), { throwIfNoEntry: false });
    const rest = Math.max((found?.size ?? 0) - place.offset - place.at, 0);
    if (!this.load(place, rest + 1)) return undefined;
    const frame = nextFrame(place.bytes, place.at, place.checksum, this.due);
    if (frame) this.pass(frame.sequence, true);
    return frame;
  }

  /** Leave a segment that has no more frames for the next one. Without one, what is not there is lost. */
  private left(place: Place, limit: number): boolean {
    const next = segmentFirsts(this.folder).find((one) => one > place.segment);
    const broken = place.at < place.bytes.length;
    this.pass(Math.min(next ?? limit, limit), broken || next === undefined || next <= this.inherited);
    if (next === undefined || next >= limit) return false;
    this.place = undefined;
    this.entered(next);
    return true;
  }

  /** Want nothing below `upto` any more: it is not there. */
  private pass(upto: number, lost: boolean): void {
    if (lost) this.missing.add(Math.max(this.due, this.wanted), upto);
    this.due = Math.max(this.due, upto);
    this.wanted = Math.max(this.wanted, upto);
  }
}
