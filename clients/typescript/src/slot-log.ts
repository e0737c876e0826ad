/** A slot as the worker sees it: what is there to be sent, how far each transport is, and what can go. */

import { dirname } from 'node:path';
import { segmentFirsts, segmentPath, remove } from './segments.js';
import type { Surely } from './disk.js';
import type { Progress, Range, State } from './state.js';
import { writeState } from './state.js';
import { Missing, Reader, type Run } from './wal-reader.js';
import { ALTERED, Kept, RECEIPTS, REFUSED } from './kept.js';
import type { Slot } from './slots.js';

export interface SlotLogOptions {
  slot: Slot;
  state: State;
  /** Names of the transports that are configured: others hold nothing back. */
  transports: readonly string[];
  /** Whether progress has to survive a loss of power before it counts. */
  durable: boolean;
  /** The number where this process went on. */
  inherited: number;
  /** Return the number of the next entry: everything below it is written. */
  next: () => number;
  /** Told how many numbers are missing on disk. */
  lost: (by: number) => void;
}

export class SlotLog {
  readonly producer: string;
  readonly receipts: Kept;
  readonly refused: Kept;
  readonly altered: Kept;
  readonly next: () => number;
  private readonly state: State;
  private readonly readers = new Map<string, Reader>();

  constructor(private readonly options: SlotLogOptions) {
    const { slot, transports, inherited } = options;
    const oldest = segmentFirsts(slot.folder)[0] ?? inherited;
    const missing = new Missing(options.lost);
    this.producer = slot.producer;
    const root = dirname(slot.folder);
    this.receipts = new Kept(root, RECEIPTS);
    this.refused = new Kept(root, REFUSED);
    this.altered = new Kept(root, ALTERED);
    this.next = options.next;
    this.state = { version: 1, transports: {} };
    for (const name of transports) {
      this.state.transports[name] = options.state.transports[name] ?? { acknowledged: oldest };
      this.readers.set(name, new Reader(slot.folder, inherited, missing));
    }
  }

  get slot(): Slot {
    return this.options.slot;
  }

  progress(transport: string): Progress {
    return this.state.transports[transport]!;
  }

  /** Return the number of the first entry that some transport has not done yet. */
  done(): number {
    const all = Object.values(this.state.transports).map(({ acknowledged }) => acknowledged);
    return all.length ? Math.min(...all) : 0;
  }

  read(transport: string, first: number, maxEntries: number, maxBytes: number, limit = this.next()): Run {
    return this.readers.get(transport)!.read(first, maxEntries, maxBytes, Math.min(limit, this.next()));
  }

  /** Note that a range is sent from now on. Durable when it returns; raises what the disk raises. */
  begin(transport: string, range: Range): void {
    this.put(transport, { acknowledged: this.progress(transport).acknowledged, sending: range }, 'new');
  }

  /**
   * Note that everything below `upto` is done, and delete the segments that nobody needs any more.
   *
   * Where none goes, a loss of power may take the note back: then the batch is sent again with its id.
   */
  acknowledge(transport: string, upto: number): void {
    const others = Object.entries(this.state.transports).filter(([name]) => name !== transport);
    const done = Math.min(upto, ...others.map(([, { acknowledged }]) => acknowledged));
    const firsts = segmentFirsts(this.slot.folder);
    const old = firsts.filter((_, place) => (firsts[place + 1] ?? Infinity) <= done);
    this.put(transport, { acknowledged: upto }, old.length > 0 ? 'new' : 'whole');
    for (const first of old) remove(segmentPath(this.slot.folder, first));
  }

  /** Write the state first: what memory says is never ahead of what the next process reads. */
  private put(transport: string, progress: Progress, surely: Surely): void {
    const next = { ...this.state.transports, [transport]: progress };
    writeState(this.slot.folder, { version: 1, transports: next }, this.options.durable ? surely : 'nothing');
    this.state.transports = next;
  }
}
