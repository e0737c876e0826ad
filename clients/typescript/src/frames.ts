/** Headers and frames of the write-ahead log, version 1 (docs/clients.md). Pure: bytes in, bytes or places out. */

import { CRC32, CRC32C, type Checksum, checksumOf, crc32c } from './checksums.js';

export const HEADER_BYTES = 32;
export const FRAME_BYTES = 16; // what stands before an entry
export const MAX_ENTRY = 65_536;

const MAGIC = Buffer.from('SWL1');
const SHORTEST = FRAME_BYTES + 1;

export interface Header {
  kind: number;
  first: number;
  /** Epoch nanoseconds. */
  made: bigint;
}

/** A whole frame: the entry is `bytes[start, end)`, and the next frame begins at `end`. */
export interface Frame {
  sequence: number;
  start: number;
  end: number;
}

/** Return a segment's first 32 bytes; what this client writes is of kind 1. */
export function header(first: number, made: bigint, kind: number = CRC32C): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes[4] = kind;
  bytes.writeBigUInt64BE(BigInt(first), 8);
  bytes.writeBigUInt64BE(made, 16);
  bytes.writeUInt32BE((checksumOf(kind) ?? crc32c)(bytes, 0, 28), 28);
  return bytes;
}

/** Return what a header says, or nothing where it is cut off or broken. */
export function parseHeader(bytes: Buffer): Header | undefined {
  if (bytes.length < HEADER_BYTES || bytes.compare(MAGIC, 0, 4, 0, 4) !== 0) return undefined;
  const checksum = checksumOf(bytes[4]!);
  if (!checksum || bytes.readUInt32BE(28) !== checksum(bytes, 0, 28)) return undefined;
  const first = Number(bytes.readBigUInt64BE(8));
  return { kind: bytes[4]!, first, made: bytes.readBigUInt64BE(16) };
}

/** Complete the frame whose entry of `length` bytes stands at `bytes[at + 16]` already; it is of kind 1. */
export function seal(bytes: Buffer, at: number, length: number, sequence: number): void {
  bytes.writeUInt32BE(length, at + 4);
  bytes.writeUInt32BE(Math.floor(sequence / 0x1_0000_0000), at + 8);
  bytes.writeUInt32BE(sequence >>> 0, at + 12);
  bytes.writeUInt32BE(crc32c(bytes, at + 4, at + FRAME_BYTES + length), at);
}

/** Return the frame at `at`, if it is whole and its number is one of `lowest` to `highest`. */
export function frameAt(
  bytes: Buffer,
  at: number,
  checksum: Checksum,
  lowest: number,
  highest: number = lowest,
): Frame | undefined {
  if (at + SHORTEST > bytes.length) return undefined;
  const length = bytes.readUInt32BE(at + 4);
  const start = at + FRAME_BYTES;
  const end = start + length;
  if (length < 1 || length > MAX_ENTRY || end > bytes.length) return undefined;
  const sequence = bytes.readUInt32BE(at + 8) * 0x1_0000_0000 + bytes.readUInt32BE(at + 12);
  if (sequence < lowest || sequence > highest) return undefined;
  if (bytes.readUInt32BE(at) !== checksum(bytes, at + 4, end)) return undefined;
  return { sequence, start, end };
}

/**
 * Return the first whole frame at `at` or behind it, where the number `expected` is due at `at`.
 *
 * What lies between cannot have held more frames than fit there, which bounds the number, and so most places are judged
 * without a checksum. The checksums together take at most 16 times the bytes looked at, so hostile bytes cost no more.
 */
export function nextFrame(bytes: Buffer, at: number, checksum: Checksum, expected: number): Frame | undefined {
  const due = frameAt(bytes, at, checksum, expected);
  if (due) return due;
  let work = 16 * (bytes.length - at) + MAX_ENTRY;
  const counted: Checksum = (all, start, end) => {
    work -= end - start;
    return checksum(all, start, end);
  };
  for (let place = at; place + SHORTEST <= bytes.length && work > 0; place++) {
    const highest = expected + Math.floor((place - at) / SHORTEST);
    const found = frameAt(bytes, place, counted, expected, highest);
    if (found) return found;
  }
  return undefined;
}

/** What a segment holds: its whole frames, where the last one ends, and how many numbers are missing between them. */
export interface Scan {
  kind: number;
  frames: Frame[];
  /** Where the last whole frame ends: what lies behind it is broken or cut off. */
  end: number;
  missing: number;
}

/** Return a segment's kind; where its header is broken, the one whose checksum fits a frame behind it. */
export function kindOf(bytes: Buffer, first: number): number {
  const told = parseHeader(bytes)?.kind;
  if (told !== undefined) return told;
  const kinds = [CRC32C, CRC32].filter((kind) => nextFrame(bytes, HEADER_BYTES, checksumOf(kind)!, first));
  return kinds[0] ?? CRC32C;
}

/** Return all whole frames of a segment whose name says that it begins with `first`. */
export function scan(bytes: Buffer, first: number): Scan {
  const kind = kindOf(bytes, first);
  const found: Scan = { kind, frames: [], end: Math.min(HEADER_BYTES, bytes.length), missing: 0 };
  const checksum = checksumOf(kind)!;
  for (let due = first; ; ) {
    const frame = nextFrame(bytes, found.end, checksum, due);
    if (!frame) return found;
    found.missing += frame.sequence - due;
    found.frames.push(frame);
    found.end = frame.end;
    due = frame.sequence + 1;
  }
}
