/** What is kept beside the log: receipts, and what a server refused. Nothing needs it to go on. */

import * as fs from 'node:fs';
import { join } from 'node:path';

export const RECEIPTS = 'receipts.ndjson';
export const REFUSED = 'refused.ndjson';
const PIECE = 4 << 20; // bytes; 10,000 receipts of the usual size are in two pieces

/** One such file of a slot: its last one to two pieces, the older one as `<name>.1`. */
export class Kept {
  constructor(
    private readonly folder: string,
    private readonly name: string,
    private readonly piece: number = PIECE,
  ) {}

  private get path(): string {
    return join(this.folder, this.name);
  }

  /** Append lines, without their LF. An error of the disk ends nothing; says whether they are there. */
  add(lines: readonly string[]): boolean {
    if (lines.length === 0) return true;
    try {
      const text = lines.map((line) => `${line}\n`).join('');
      const size = fs.statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
      if (size > 0 && size + text.length > this.piece) fs.renameSync(this.path, `${this.path}.1`);
      fs.appendFileSync(this.path, text, { mode: 0o600 });
      return true;
    } catch {
      return false;
    }
  }

  /** Return all whole lines that are kept, oldest first. */
  lines(): string[] {
    const paths = [`${this.path}.1`, this.path].filter((path) => fs.existsSync(path));
    return paths.flatMap((path) => fs.readFileSync(path, 'utf8').split('\n')).filter((line) => line.endsWith('}'));
  }
}
