/** Has what was written survive a loss of power, from time to time, in the worker. */

import * as fs from 'node:fs';
import { codeOf, syncFolder } from './disk.js';
import { segmentFirsts, segmentPath } from './segments.js';

export class Syncing {
  failures = 0;
  private synced = -1; // the number up to which all is safe
  private finished = -1; // segments below this one are closed and safe

  constructor(
    private readonly folder: string,
    private readonly next: () => number,
  ) {}

  /** Sync what came since the last time. Says whether it is safe; a sync that failed says that it may never be. */
  run(): boolean {
    const next = this.next();
    if (next === this.synced) return true;
    try {
      const firsts = segmentFirsts(this.folder).filter((first) => first >= this.finished);
      const fresh = firsts.at(-1) !== this.finished;
      for (const first of firsts) this.sync(segmentPath(this.folder, first));
      if (fresh) syncFolder(this.folder);
      this.finished = firsts.at(-1) ?? this.finished;
      this.synced = next;
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true; // deleted meanwhile: the next run has the others
      this.failures++;
      this.synced = next;
      return false;
    }
  }

  private sync(path: string): void {
    const file = fs.openSync(path, 'r+');
    try {
      fs.fdatasyncSync(file);
    } finally {
      fs.closeSync(file);
    }
  }
}
