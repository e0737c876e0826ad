/** The calls to the kernel that can fail for the disk's sake. Tests put failing ones in their place. */

import * as fs from 'node:fs';
import { dirname } from 'node:path';

export interface Disk {
  open(path: string, flags: string, mode?: number): number;
  /** Write from `bytes[start, end)`; may write less, and says how much. */
  write(file: number, bytes: Uint8Array, start: number, length: number): number;
  sync(file: number): void;
  truncate(file: number, length: number): void;
  close(file: number): void;
}

export const DISK: Disk = {
  open: (path, flags, mode) => fs.openSync(path, flags, mode),
  write: (file, bytes, start, length) => fs.writeSync(file, bytes, start, length),
  sync: (file) => fs.fdatasyncSync(file),
  truncate: (file, length) => fs.ftruncateSync(file, length),
  close: (file) => fs.closeSync(file),
};

/** Return the code of a system error (`ENOSPC`), or the kind of another. */
export function codeOf(error: unknown): string {
  if (error instanceof Error) return (error as NodeJS.ErrnoException).code ?? error.name;
  return typeof error;
}

/** Write all of it. Raises what the disk raises; then part of it may be written. */
export function writeAll(disk: Disk, file: number, bytes: Uint8Array, length: number): void {
  for (let done = 0; done < length; ) {
    const written = disk.write(file, bytes, done, length - done);
    if (written <= 0) throw Object.assign(new Error('nothing was written'), { code: 'EIO' });
    done += written;
  }
}

/** Have a folder's names survive a loss of power; not possible on Windows, where it is not needed. */
export function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}

/**
 * What a replaced file is sure of after a loss of power: nothing; that it has the old content or the new, as a whole; or
 * that it has the new.
 */
export type Surely = 'nothing' | 'whole' | 'new';

/** Replace a file as a whole. */
export function replaceFile(path: string, text: string, surely: Surely): void {
  const next = `${path}.new`;
  const file = fs.openSync(next, 'w', 0o600);
  try {
    fs.writeFileSync(file, text);
    if (surely !== 'nothing') fs.fdatasyncSync(file);
  } finally {
    fs.closeSync(file);
  }
  fs.renameSync(next, path);
  if (surely === 'new') syncFolder(dirname(path));
}
