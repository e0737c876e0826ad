/**
 * The store: a slot of the write-ahead log and the worker that sends what is in it.
 *
 * Each process has its own slot, and so has each of a host's own worker threads that opens a store. A thread that is
 * ended by `terminate()` leaves its slot to the process that comes after this one.
 */

import { Budget } from './budget.js';
import { Counts, type Reason } from './counts.js';
import { DISK, type Disk } from './disk.js';
import { Link, type Tell } from './link.js';
import { type Settings, settings as settingsOf, type StoreOptions } from './options.js';
import { receiptJson } from './receipts.js';
import { recover } from './segments.js';
import { makeShared, MAX_TRANSPORTS, type Shared, sharedCounts } from './shared.js';
import { discard, makeSlot, release, type Slot, takeAny } from './slots.js';
import { readState, type StateFile } from './state.js';
import { OWN_NAME, type Stats, type Store } from './store-types.js';
import { makeTransports, nameOf } from './transports/index.js';
import { type Opened, Writer } from './wal-writer.js';

const MIB = 1 << 20;
const TELL = 60_000;
const RETRY = 250; // milliseconds between two tries of a disk that failed, while nothing is appended

/** Take a slot whose numbers are known. One that lost its progress and has no segment could use numbers twice. */
function takeSlot(root: string): { slot: Slot; state: StateFile['state']; recovered: ReturnType<typeof recover> } {
  let slot = takeAny(root);
  for (;;) {
    const { state, lost } = readState(slot.folder);
    const recovered = recover(slot.folder, state);
    if (!lost || recovered.segments.length > 0) return { slot, state, recovered };
    discard(slot);
    slot = makeSlot(root);
  }
}

class LogStore implements Store {
  readonly counts: Counts;
  private readonly shared: Shared = makeShared();
  private readonly writer: Writer;
  private slot: Slot | undefined;
  private link: Link | undefined;
  private retry: NodeJS.Timeout | undefined;
  private closed = false;
  private readonly toldAt = new Map<string, number>();
  private tried = -1; // what was written when the process first had nothing else to do
  private readonly atEnd = (): void => this.ended();
  private readonly whenIdle = (): void => void this.idle();

  constructor(
    private readonly settings: Settings,
    disk: Disk,
  ) {
    this.counts = new Counts(() => sharedCounts(this.shared));
    const { fsync, diskMb, segmentMb, memoryKb } = settings;
    const segmentBytes = Math.min(segmentMb * MIB, (diskMb * MIB) / 4);
    const options = { fsync, segmentBytes, memoryBytes: memoryKb * 1024 };
    this.writer = new Writer(() => this.open(), disk, options, this.shared, this.counts);
    process.on('exit', this.atEnd);
    process.on('beforeExit', this.whenIdle);
  }

  get producer(): string {
    return this.slot?.producer ?? '';
  }

  append(line: string | Uint8Array): number {
    try {
      if (this.closed) return this.dropped('disk');
      const sequence = this.writer.append(line);
      this.link?.wake();
      if (this.writer.bridge.count !== 0) this.later();
      return sequence;
    } catch {
      return this.dropped('broken');
    }
  }

  async flush(milliseconds: number): Promise<boolean> {
    const until = performance.now() + milliseconds;
    try {
      if (this.writer.bridge.count !== 0 && !this.writer.drain()) return false;
      if (!this.link || this.settings.transports.length === 0) return true;
      return await this.link.flush(this.writer.next, Math.max(until - performance.now(), 0));
    } catch {
      return false;
    }
  }

  async close(milliseconds: number): Promise<boolean> {
    if (this.closed) return true;
    const done = await this.flush(milliseconds);
    this.closed = true;
    process.off('exit', this.atEnd);
    process.off('beforeExit', this.whenIdle);
    clearTimeout(this.retry);
    this.writer.close();
    await this.link?.stop();
    this.give();
    return done;
  }

  stats(): Stats {
    return {
      producer: this.producer,
      next: this.writer.next,
      bridged: this.writer.bridge.count,
      counts: this.counts.total(),
      diskErrors: Object.fromEntries(this.writer.errors),
      failedSyncs: this.link?.failedSyncs ?? 0,
      transports: this.link?.transports ?? {},
    };
  }

  private dropped(reason: Reason): number {
    this.counts.add(reason);
    return -1;
  }

  /** Take a slot and start its worker. Raises what the disk raises. */
  private open(): Opened {
    const { settings, shared, counts } = this;
    void this.link?.stop();
    const { slot, state, recovered } = takeSlot(settings.directory);
    const { segments, next } = recovered;
    const names = settings.transports.map(nameOf);
    const oldest = segments[0]?.first ?? next;
    const acknowledged = names.map((name) => [name, state.transports[name]?.acknowledged ?? oldest] as const);
    const done = Math.min(next, ...acknowledged.map(([, number]) => number));
    const { diskMb, whenFull, blockSeconds } = settings;
    const limits = { maxBytes: diskMb * MIB, whenFull, blockMs: blockSeconds * 1000 };
    const budget = new Budget(slot.folder, segments, names.length ? done : 0, limits, shared, counts);
    this.slot = slot;
    const data = { shared, slot, settings, inherited: next };
    this.link = new Link(data, Object.fromEntries(acknowledged), { tell: (news) => this.tell(news) });
    return { folder: slot.folder, next, budget };
  }

  /** Tell it as an entry, each kind once a minute: a server may refuse that, too. */
  private tell({ message, fields }: Tell): void {
    const now = performance.now();
    if (now - (this.toldAt.get(message) ?? -Infinity) < TELL) return;
    this.toldAt.set(message, now);
    this.append(receiptJson({ time: Date.now() / 1000, level: 'ERROR', logger: OWN_NAME, message, ...fields }));
  }

  /** Try the disk again soon, also where nothing is appended. */
  private later(): void {
    this.retry ??= setTimeout(() => {
      this.retry = undefined;
      if (!this.writer.drain()) this.later();
      this.link?.wake();
    }, RETRY).unref();
  }

  /** The process has nothing else to do: have the rest sent, once for the same entries. */
  private async idle(): Promise<void> {
    if (this.tried === this.writer.next) return;
    this.tried = this.writer.next;
    await this.flush(this.settings.exitSeconds * 1000);
  }

  /** The process ends now: wait for the worker, within the bound, but not for a server that fails. */
  private ended(): void {
    if (this.writer.bridge.count !== 0) this.writer.drain();
    this.writer.close();
    if (this.link?.end(this.writer.next, this.settings.exitSeconds * 1000)) this.give();
  }

  private give(): void {
    try {
      if (this.slot) release(this.slot);
    } catch {
      // The lock names a process that will be gone.
    }
    this.slot = undefined;
  }
}

/**
 * Open a store. Nothing is made or read on disk before the first `append`.
 *
 * `disk` is for tests that have it fail. Raises OptionError or TypeError for what is wrong with the options.
 */
export function openStore(options: StoreOptions = {}, disk: Disk = DISK): Store {
  const all = settingsOf(options);
  const names = all.transports.map(nameOf);
  if (new Set(names).size < names.length) throw new TypeError('two transports have the same name');
  if (names.length > MAX_TRANSPORTS) throw new TypeError(`there can be ${MAX_TRANSPORTS} transports`);
  for (const transport of makeTransports(all)) transport.close();
  return new LogStore(all, disk);
}
