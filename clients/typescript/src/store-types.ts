/** What the logger knows of the store that it writes to. `testing` has another store that keeps to the same. */

import type { Counts, Reason } from './counts.js';

/** The logger of the client's own entries, as in the Python client. */
export const OWN_NAME = 'sentinel_client';

/** How far a transport is, as `stats()` tells it. Times are epoch milliseconds. */
export interface TransportStats {
  /** Number of the first entry that is not yet done. */
  acknowledged: number;
  /** Requests (or writes) that failed since the last one that did not. */
  failures: number;
  /** Why the last one failed: a status, the kind of an error; never a body or a secret. Empty when it did not. */
  why: string;
  /** When the last batch was stored; 0 before the first. */
  stored: number;
}

export interface Stats {
  producer: string;
  /** Number of the next entry to come. */
  next: number;
  /** Entries that wait in memory for a disk that does not take them. */
  bridged: number;
  counts: Partial<Record<Reason, number>>;
  /** Errors of the disk by code (`ENOSPC`), and syncs that failed, after which a loss of power may lose entries. */
  diskErrors: Record<string, number>;
  failedSyncs: number;
  transports: Record<string, TransportStats>;
}

/**
 * Where accepted entries go. One a thread: a host's own worker threads open their own.
 *
 * `append` never throws: not for the disk, not for what it is given.
 */
export interface Store {
  /** The slot's name, which receipts have as producer; empty until the slot is taken by the first `append`. */
  readonly producer: string;
  readonly counts: Counts;

  /**
   * Keep one entry: a JSON object on one line, without a line break, 1 to 65,536 bytes of UTF-8.
   *
   * Returns its sequence number once it is in the kernel's hands (or in the memory that bridges a failing disk), or
   * -1 where it was dropped, which is counted.
   */
  append(line: string | Uint8Array): number;

  /** Have everything that was appended sent, within so many milliseconds. Says whether it was. Never rejects. */
  flush(milliseconds: number): Promise<boolean>;

  /** Flush, stop the worker and give the slot back. What was not sent stays on disk for the next process. */
  close(milliseconds: number): Promise<boolean>;

  stats(): Stats;
}
