/** The segments of a slot: their names, what is left of them after a crash, and where the numbers go on. */

import * as fs from 'node:fs';
import { join } from 'node:path';
import { codeOf } from './disk.js';
import { HEADER_BYTES, scan } from './frames.js';
import type { State } from './state.js';

export interface Segment {
  first: number;
  bytes: number;
}

const NAME = /^[0-9a-f]{16}\.wal$/;

/** Return the path of the segment that begins with the number `first`. */
export function segmentPath(folder: string, first: number): string {
  return join(folder, `${first.toString(16).padStart(16, '0')}.wal`);
}

/** Return the numbers that the segments of a slot begin with, in order. Other files are none of ours. */
export function segmentFirsts(folder: string): number[] {
  const names = fs.readdirSync(folder).filter((name) => NAME.test(name));
  return names.map((name) => Number.parseInt(name.slice(0, 16), 16)).sort((one, other) => one - other);
}

/** Delete a file that may be gone already. */
export function remove(path: string): void {
  try {
    fs.unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/**
 * Cut a torn tail away from the newest segment, and return the number that comes after its last whole frame.
 *
 * What is cut away was not acknowledged: its `write` never returned. A segment without any frame is deleted, since the
 * next one has its name.
 */
function repaired(folder: string, first: number): number {
  const path = segmentPath(folder, first);
  const bytes = fs.readFileSync(path);
  const found = scan(bytes, first);
  const last = found.frames.at(-1);
  if (!last) {
    remove(path);
    return first;
  }
  if (found.end < bytes.length) fs.truncateSync(path, found.end);
  return last.sequence + 1;
}

/** What a writer begins with: the segments that are there, and the next number. */
export interface Recovered {
  segments: Segment[];
  next: number;
}

/**
 * Repair a slot that was taken and say where its numbers go on.
 *
 * A number that was promised to a server is never used again, even where a loss of power took its entry from the disk:
 * `state` has the highest one.
 */
export function recover(folder: string, state: State): Recovered {
  const firsts = segmentFirsts(folder);
  const newest = firsts.at(-1);
  const after = newest === undefined ? 0 : repaired(folder, newest);
  const promised = Object.values(state.transports).map((progress) =>
    Math.max(progress.acknowledged, progress.sending ? progress.sending.first + progress.sending.count : 0),
  );
  const segments = segmentFirsts(folder).map((first) => {
    const { size } = fs.statSync(segmentPath(folder, first));
    return { first, bytes: Math.max(size, HEADER_BYTES) };
  });
  return { segments, next: Math.max(after, ...promised) };
}
