/**
 * Into a file: one entry a line (NDJSON), rotated by size.
 *
 * A batch that was cut off by a full disk, or whose process was killed before that was noted, is written again as a
 * whole: then its first lines, or all of them, are there twice, and a line that was cut off is a line of its own, which
 * is no JSON.
 */

import * as fs from 'node:fs';
import type { Batch, Outcome, Transport } from '../batches.js';
import { codeOf } from '../disk.js';
import type { TransportOptions } from '../options.js';
import { flag, number, required } from './given.js';

const LF = 10;

/**
 * Appends to `path`, mode 0600. Over `rotate_bytes` (100 MiB) it becomes `path.1`, that `path.2`, up to `keep` (5).
 *
 * Several processes may append to one file that is not rotated (`rotate_bytes` 0). With `fsync` a batch is on the disk
 * itself before it counts as sent.
 */
export class FileTransport implements Transport {
  readonly maxEntries = 10_000;
  readonly maxBytes = 4_000_000;
  private readonly path: string;
  private readonly rotate: number;
  private readonly keep: number;
  private readonly fsync: boolean;

  constructor(
    readonly name: string,
    options: TransportOptions,
  ) {
    this.path = required(options, 'path');
    this.rotate = number(options, 'rotate_bytes', 100 << 20);
    this.keep = number(options, 'keep', 5);
    this.fsync = flag(options, 'fsync');
  }

  async send(batch: Batch): Promise<Outcome> {
    try {
      this.write(Buffer.concat(batch.entries.flatMap((entry) => [entry, Buffer.from('\n')])));
      return { kind: 'sent' };
    } catch (error) {
      return { kind: 'later', why: `file: ${codeOf(error)}`, after: 0 };
    }
  }

  close(): void {}

  private write(body: Buffer): void {
    const size = fs.statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
    if (this.rotate && this.keep && size && size + body.length > this.rotate) this.shift();
    const file = fs.openSync(this.path, 'a+', 0o600);
    try {
      const end = fs.fstatSync(file).size;
      const last = Buffer.alloc(1, LF);
      if (end > 0) fs.readSync(file, last, 0, 1, end - 1);
      const all = last[0] === LF ? body : Buffer.concat([Buffer.from('\n'), body]); // what stands there was cut off
      for (let at = 0; at < all.length; ) at += fs.writeSync(file, all, at, all.length - at);
      if (this.fsync) fs.fsyncSync(file);
    } finally {
      fs.closeSync(file);
    }
  }

  private shift(): void {
    for (let age = this.keep - 1; age > 0; age--) {
      if (fs.existsSync(`${this.path}.${age}`)) fs.renameSync(`${this.path}.${age}`, `${this.path}.${age + 1}`);
    }
    fs.renameSync(this.path, `${this.path}.1`);
  }
}
