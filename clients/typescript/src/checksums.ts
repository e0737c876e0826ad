/**
 * The two checksums of the log on disk: CRC-32C (RFC 3720, B.4) and CRC-32 (ISO 3309).
 *
 * Both walk eight tables, eight bytes a step ("slicing by 8"), which V8 compiles. On 250 bytes that is as quick as
 * zlib's own CRC-32, which is there from Node 22.2 on only.
 */

export const CRC32C = 1;
export const CRC32 = 2;
export type ChecksumKind = typeof CRC32C | typeof CRC32;

/** Checksum of `bytes[start, end)`, as a number of 0 to 2^32 - 1. */
export type Checksum = (bytes: Uint8Array, start: number, end: number) => number;

function tables(polynomial: number): Uint32Array {
  const all = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    all[byte] = value >>> 0;
  }
  for (let byte = 0; byte < 256; byte++) {
    let value = all[byte]!;
    for (let slice = 1; slice < 8; slice++) {
      value = (value >>> 8) ^ all[value & 255]!;
      all[slice * 256 + byte] = value >>> 0;
    }
  }
  return all;
}

function checksum(polynomial: number): Checksum {
  const table = tables(polynomial);
  return (bytes, start, end) => {
    let crc = -1;
    let at = start;
    for (const whole = end - 7; at < whole; at += 8) {
      crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      crc =
        table[1792 + (crc & 255)]! ^
        table[1536 + ((crc >>> 8) & 255)]! ^
        table[1280 + ((crc >>> 16) & 255)]! ^
        table[1024 + (crc >>> 24)]! ^
        table[768 + bytes[at + 4]!]! ^
        table[512 + bytes[at + 5]!]! ^
        table[256 + bytes[at + 6]!]! ^
        table[bytes[at + 7]!]!;
    }
    for (; at < end; at++) crc = (crc >>> 8) ^ table[(crc ^ bytes[at]!) & 255]!;
    return (crc ^ -1) >>> 0;
  };
}

export const crc32c: Checksum = checksum(0x82f63b78);
export const crc32: Checksum = checksum(0xedb88320);

/** Return the checksum of a segment's kind, or nothing where there is no such kind. */
export function checksumOf(kind: number): Checksum | undefined {
  return kind === CRC32C ? crc32c : kind === CRC32 ? crc32 : undefined;
}
