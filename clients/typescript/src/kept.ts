/**
 * What is kept beside the log: receipts, and what a server refused or altered. Nothing needs it to go on.
 *
 * The files are in the root, one of each for all its processes, also Python's. Each is one to two pieces, the newest
 * and the one before (`<name>.1`). Lines are appended by one write. Node has no lock for the moment in which a piece is
 * moved: two processes that move it at once can lose the older one.
 */

import * as fs from 'node:fs';
import { join } from 'node:path';

export const RECEIPTS = 'receipts.ndjson';
export const REFUSED = 'refused.ndjson';
export const ALTERED = 'altered.ndjson';
const PIECE = 4 << 20; // bytes; some 5,000 receipts
const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW = 0 } = fs.constants;

/** One such file, mode 0600. */
export class Kept {
  constructor(
    private readonly root: string,
    private readonly name: string,
    private readonly piece: number = PIECE,
  ) {}

  private get path(): string {
    return join(this.root, this.name);
  }

  /** Append lines, without their LF. An error of the disk ends nothing; says whether they are there. */
  add(lines: readonly string[]): boolean {
    if (lines.length === 0) return true;
    let file: number | undefined;
    try {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
      file = this.open(bytes.length);
      return fs.writeSync(file, this.cut(file) ? Buffer.concat([Buffer.from('\n'), bytes]) : bytes) >= bytes.length;
    } catch {
      return false;
    } finally {
      if (file !== undefined) fs.closeSync(file);
    }
  }

  /** Return all whole lines that are kept, oldest first. */
  lines(): string[] {
    const paths = [`${this.path}.1`, this.path].filter((path) => fs.existsSync(path));
    return paths.flatMap((path) => fs.readFileSync(path, 'utf8').split('\n')).filter((line) => line.endsWith('}'));
  }

  /** Open the newest piece, with room for so many bytes. */
  private open(more: number): number {
    const file = fs.openSync(this.path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
    const { size, ino } = fs.fstatSync(file);
    if (size === 0 || size + more <= this.piece) return file;
    fs.closeSync(file);
    if (fs.statSync(this.path).ino === ino) fs.renameSync(this.path, `${this.path}.1`); // else another did it just now
    return fs.openSync(this.path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
  }

  /** Whether a kill or a full disk cut the last line off: that is ended then, and is no JSON. */
  private cut(file: number): boolean {
    const { size } = fs.fstatSync(file);
    const last = Buffer.alloc(1);
    return size > 0 && fs.readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== 10;
  }
}
