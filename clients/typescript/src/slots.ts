/**
 * Slots: folders of the root, each of which belongs to one writer at a time.
 *
 * The owner is who wrote the `lock.<n>` with the highest n. A slot is taken by making the next one, which the file
 * system lets only one process do; no lock is ever moved or replaced by anybody but its writer, so that a slow process
 * cannot take away what a quick one took meanwhile. Older locks are deleted 16 numbers later. The root has to be on a
 * file system of this machine: locks say nothing about processes of another.
 */

import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { codeOf, replaceFile } from './disk.js';
import { lives, type Owner, self } from './processes.js';

const SLOT = /^js-[0-9a-f]{16}$/;
const LOCK = /^lock\.(\d{1,15})$/;
const KEPT = 16;
/** How long a lock counts whose writer cannot be asked; its owner touches it every minute. Milliseconds. */
const SILENCE = 600_000;
/** How long a lock may be unreadable, where it cannot be made as a whole. */
const UNFINISHED = 10_000;

/** The root or slot folder cannot be used; the message says what to do. */
export class FolderError extends Error {
  override name = 'FolderError';
}

export interface Slot {
  producer: string;
  folder: string;
  /** The number of our lock. */
  lock: number;
  nonce: string;
}

/** Make the root, and refuse one that others could write to: they could have entries sent in our name. */
export function openRoot(root: string): void {
  fs.mkdirSync(root, { recursive: true, mode: 0o700 });
  const found = fs.statSync(root);
  if (!found.isDirectory()) throw new FolderError(`${root} is no folder: name another directory`);
  if (process.platform === 'win32' || !process.getuid) return;
  if (found.uid !== process.getuid()) throw new FolderError(`${root} belongs to somebody else: name another directory`);
  if (found.mode & 0o022) throw new FolderError(`${root} can be written by others: chmod go-w it`);
}

function lockNumbers(folder: string): number[] {
  const found = fs.readdirSync(folder).map((name) => LOCK.exec(name)?.[1]);
  return found.filter((text) => text !== undefined).map(Number);
}

function lockPath(folder: string, lock: number): string {
  return join(folder, `lock.${lock}`);
}

/** Say whether the lock's slot is free. A writer that cannot be asked has it until it was silent for ten minutes. */
function isFree(path: string): boolean {
  const age = Date.now() - fs.statSync(path).mtimeMs;
  let owner: Owner;
  try {
    owner = JSON.parse(fs.readFileSync(path, 'utf8')) as Owner;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return age > UNFINISHED;
  }
  if (!owner || typeof owner.pid !== 'number' || owner.pid === 0) return true;
  return !(lives(owner) ?? age < SILENCE);
}

/** Make a file that is not there yet, whole from its first moment on where the file system has hard links. */
function create(path: string, text: string): boolean {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    fs.writeFileSync(draft, text, { flag: 'wx', mode: 0o600 });
    fs.linkSync(draft, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST' || codeOf(error) === 'ENOENT') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(codeOf(error))) throw error;
    return createPlainly(path, text);
  } finally {
    fs.rmSync(draft, { force: true });
  }
}

function createPlainly(path: string, text: string): boolean {
  try {
    fs.writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Take a slot if it is free. Nothing where it is not, or somebody else was faster, or it is gone. */
export function take(root: string, producer: string): Slot | undefined {
  const folder = join(root, producer);
  try {
    const highest = Math.max(0, ...lockNumbers(folder));
    if (highest > 0 && !isFree(lockPath(folder, highest))) return undefined;
    const owner = self();
    const lock = highest + 1;
    if (!create(lockPath(folder, lock), JSON.stringify(owner))) return undefined;
    const numbers = lockNumbers(folder);
    if (Math.max(...numbers) !== lock) {
      fs.rmSync(lockPath(folder, lock), { force: true });
      return undefined;
    }
    for (const old of numbers) if (old <= lock - KEPT) fs.rmSync(lockPath(folder, old), { force: true });
    return { producer, folder, lock, nonce: owner.nonce };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Return the names of this language's slots, oldest first. */
export function slotNames(root: string): string[] {
  const born = (name: string): number => {
    const found = fs.statSync(join(root, name), { throwIfNoEntry: false });
    return found ? found.birthtimeMs || found.ctimeMs : 0;
  };
  const names = fs.readdirSync(root).filter((name) => SLOT.test(name));
  const aged = names.map((name) => ({ name, age: born(name) }));
  return aged.sort((one, other) => one.age - other.age || (one.name < other.name ? -1 : 1)).map(({ name }) => name);
}

/** Make a new slot and take it. */
export function makeSlot(root: string): Slot {
  for (;;) {
    const producer = `js-${randomBytes(8).toString('hex')}`;
    fs.mkdirSync(join(root, producer), { mode: 0o700 });
    const slot = take(root, producer);
    if (slot) return slot;
  }
}

/** Take the oldest free slot, or make one. Raises FolderError or what the disk raises. */
export function takeAny(root: string): Slot {
  openRoot(root);
  for (const name of slotNames(root)) {
    const slot = take(root, name);
    if (slot) return slot;
  }
  return makeSlot(root);
}

/** Say whether a slot is still ours, and that its owner lives, for those who cannot ask. */
export function touch(slot: Slot): boolean {
  try {
    if (Math.max(...lockNumbers(slot.folder)) !== slot.lock) return false;
    const now = new Date();
    fs.utimesSync(lockPath(slot.folder, slot.lock), now, now);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ENOENT';
  }
}

/** Give a slot back. */
export function release(slot: Slot): void {
  replaceFile(lockPath(slot.folder, slot.lock), '{"pid":0}', 'nothing');
}

/** Delete a slot that is ours and empty. It loses its name first, so that nobody takes it halfway. */
export function discard(slot: Slot): void {
  const gone = `${slot.folder}.gone`;
  fs.renameSync(slot.folder, gone);
  fs.rmSync(gone, { recursive: true, force: true });
}
