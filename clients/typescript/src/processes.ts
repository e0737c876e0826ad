/** Which process this is, and whether another one that wrote its name down still lives. */

import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { codeOf } from './disk.js';

/** What a lock says of its writer. */
export interface Owner {
  pid: number;
  /** When the process began: clock ticks since the machine started (Linux), else epoch milliseconds, 1 s exact. */
  started: string;
  /** The machine's boot (Linux); empty elsewhere. */
  boot: string;
  /** The namespace that `pid` counts in (Linux): containers that share a folder have their own; empty elsewhere. */
  space: string;
  /** Tells this lock from every other one. */
  nonce: string;
}

function first<T>(make: () => T, otherwise: T): T {
  try {
    return make();
  } catch {
    return otherwise;
  }
}

/** Return field 22 of /proc/<pid>/stat (proc(5)); the name before it may hold spaces and brackets. */
function ticks(pid: number): string {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

const BOOT = first(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(), '');
const SPACE = first(() => readlinkSync('/proc/self/ns/pid'), '');
const STARTED = first(() => ticks(process.pid), String(Math.round(Date.now() - process.uptime() * 1000)));

/** Return this process as a lock names it. */
export function self(): Owner {
  const nonce = randomBytes(8).toString('hex');
  return { pid: process.pid, started: STARTED, boot: BOOT, space: SPACE, nonce };
}

function signalled(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

/**
 * Say whether a lock's writer lives: yes, no, or that it cannot be known from here.
 *
 * Known on Linux, exactly, for processes of the same namespace. Elsewhere a process counts as alive while any process
 * has its id, and so a reused id keeps a slot back until it ends.
 */
export function lives(owner: Owner): boolean | undefined {
  if (BOOT && owner.boot && owner.boot !== BOOT) return false;
  if (SPACE && owner.space && owner.space !== SPACE) return undefined;
  if (!signalled(owner.pid)) return false;
  if (!BOOT) return true;
  return first(() => ticks(owner.pid) === owner.started, false);
}
