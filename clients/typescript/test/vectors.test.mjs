// The vectors that both clients run: what the log's bytes are, and what a reader finds in broken ones.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { part } from './harness.mjs';

const { batchId } = part('batches');
const { checksumOf } = part('checksums');
const { FRAME_BYTES, header, parseHeader, scan, seal } = part('frames');
const vectors = JSON.parse(readFileSync(new URL('../../vectors/wal-v1.json', import.meta.url), 'utf8'));
const hex = (text) => Buffer.from(text, 'hex');
const first = Number(vectors.first);

/** Check what a reader finds in bytes; `end` is where the last whole frame ends. */
function finds(bytes, expected, where) {
  const found = scan(bytes, first);
  assert.equal(parseHeader(bytes) !== undefined, expected.header, where);
  assert.deepEqual(found.frames.map(({ sequence }) => sequence), expected.found.map(Number), where);
  assert.equal(found.end, expected.end, where);
  if (where === 'an entry of 65,536 bytes') return; // it has entries of its own
  for (const { sequence, start, end } of found.frames) {
    assert.ok(bytes.subarray(start, end).toString() === vectors.entries[sequence - first], where);
  }
}

test('Checksums, headers and frames are those of the vectors', () => {
  for (const { kind, of, is } of vectors.checksums) {
    const bytes = hex(of);
    assert.equal(checksumOf(kind)(bytes, 0, bytes.length), is);
  }
  for (const { kind, first: number, made, bytes } of vectors.headers) {
    assert.equal(header(Number(number), BigInt(made), kind).toString('hex'), bytes);
    assert.deepEqual(parseHeader(hex(bytes)), { kind, first: Number(number), made: BigInt(made) });
  }
  for (const { kind, sequence, entry, bytes } of vectors.frames.filter((one) => one.kind === 1)) {
    const frame = Buffer.alloc(FRAME_BYTES + Buffer.byteLength(entry));
    frame.write(entry, FRAME_BYTES);
    seal(frame, 0, frame.length - FRAME_BYTES, Number(sequence));
    assert.equal(frame.toString('hex'), bytes, `kind ${kind}`);
  }
});

test('A reader finds in whole and broken segments what the vectors say', () => {
  for (const { what, bytes, ...expected } of vectors.segments) finds(hex(bytes), expected, what);
  for (const { bytes, cut } of vectors.torn) {
    cut.forEach(({ to, ...expected }) => finds(hex(bytes).subarray(0, to), expected, `cut at ${to}`));
  }
  for (const { bytes, flips } of vectors.flipped) {
    for (const { at, mask, ...expected } of flips) {
      const flipped = hex(bytes);
      flipped[at] ^= mask;
      finds(flipped, expected, `byte ${at}, mask ${mask}`);
    }
  }
});

test('Batch ids are those of the vectors', () => {
  for (const { producer, first: number, count, id } of vectors.batches) {
    assert.equal(batchId({ producer, first: Number(number), count }).toString('hex'), id);
  }
});
