/** One transport over one slot: read, begin, send until it is answered, acknowledge. Nothing is skipped silently. */

import { Backoff } from './backoff.js';
import type { Batch, Outcome, Transport } from './batches.js';
import { codeOf } from './disk.js';
import { keptOf, receiptJson } from './receipts.js';
import { Signal } from './signal.js';
import type { SlotLog } from './slot-log.js';
import type { Range } from './state.js';
import type { TransportStats } from './store-types.js';

export interface ShipperOptions {
  /** A batch leaves with so many entries or bytes, or when so many milliseconds passed since there was one. */
  entries: number;
  bytes: number;
  age: number;
  /** The bound of one request, in milliseconds. */
  timeout: number;
}

/** What a shipper tells the worker. */
export interface ShipperEvents {
  /** Counted: entries that a server refused, batches whose receipt does not fit. */
  count(reason: 'refused' | 'altered', by: number): void;
  /** A receipt that does not fit, entries that were refused: for an entry of its own. */
  tell(message: string, fields: Record<string, unknown>): void;
  /** The range that is being sent has changed. */
  sending(range: Range | undefined): void;
  /** Nothing is left to do: have new entries told by `wake`. */
  idle(): void;
  /** Progress or failure: `stats` has changed. */
  changed(): void;
}

const LF = 10;

export class Shipper {
  readonly stats: TransportStats;
  private readonly signal = new Signal();
  private readonly backoff = new Backoff();
  private hurry = 0; // entries below this number leave without waiting for more
  private stopped = false;
  private waits = false; // for its time after a failure
  private more = false; // bytes ended the last batch, not the log: what follows leaves at once
  private readonly most: { entries: number; bytes: number }; // of a batch; less once one was too large

  constructor(
    private readonly log: SlotLog,
    private readonly transport: Transport,
    private readonly options: ShipperOptions,
    private readonly events: ShipperEvents,
  ) {
    this.stats = { acknowledged: log.progress(transport.name).acknowledged, failures: 0, why: '', stored: 0 };
    this.most = {
      entries: Math.min(options.entries, transport.maxEntries),
      bytes: Math.min(options.bytes, transport.maxBytes),
    };
  }

  get acknowledged(): number {
    return this.log.progress(this.transport.name).acknowledged;
  }

  /** Say whether the other side failed and its time has not come yet. */
  get failing(): boolean {
    return this.waits;
  }

  /** There are new entries. */
  wake(): void {
    if (!this.waits) this.signal.fire();
  }

  /** Have everything below `upto` sent now, without waiting for more or for a failing server's time. */
  rush(upto: number): void {
    this.hurry = Math.max(this.hurry, upto);
    this.signal.fire();
  }

  stop(): void {
    this.stopped = true;
    this.signal.fire();
  }

  /** Send what comes until it is stopped; with `drain`, until nothing is left. Says whether all was done. */
  async run(drain: boolean): Promise<boolean> {
    while (!this.stopped) {
      try {
        if (await this.once(drain)) continue;
        if (drain) return true;
      } catch (error) {
        await this.pause(`disk: ${codeOf(error)}`, 0);
      }
    }
    return this.acknowledged >= this.log.next();
  }

  /** Send one batch. Says whether there was something to do. */
  private async once(drain: boolean): Promise<boolean> {
    const { sending } = this.log.progress(this.transport.name);
    if (sending) {
      await this.resume(sending);
      return true;
    }
    if (this.acknowledged >= this.log.next()) {
      if (drain) return false;
      this.events.idle();
      if (this.acknowledged >= this.log.next()) await this.signal.wait(60_000);
      return true;
    }
    if (!drain) await this.gathered();
    await this.fresh();
    return true;
  }

  /** Wait until a batch is full or old enough, or somebody is in a hurry. */
  private async gathered(): Promise<void> {
    const until = performance.now() + this.options.age;
    const { entries } = this.most;
    for (;;) {
      const left = this.more ? 0 : until - performance.now();
      const { acknowledged } = this;
      if (left <= 0 || this.stopped || this.hurry > acknowledged || this.log.next() - acknowledged >= entries) return;
      await this.signal.wait(Math.min(left, 50));
    }
  }

  private async fresh(): Promise<void> {
    if (this.stopped) return;
    const { name } = this.transport;
    const { entries, bytes } = this.most;
    const run = this.log.read(name, this.acknowledged, entries, bytes);
    this.more = run.entries.length < entries && sizeOf(run.entries) > bytes / 2 && this.log.next() > run.next;
    if (run.entries.length === 0) {
      if (run.next > this.acknowledged) this.done(run.next);
      return;
    }
    const range = { first: run.first, count: run.next - run.first };
    this.log.begin(name, range);
    await this.deliver({ producer: this.log.producer, ...range, entries: run.entries.map(oneLine) });
  }

  /** Send a range again that was begun, perhaps by another process. */
  private async resume(range: Range): Promise<void> {
    const end = range.first + range.count;
    const run = this.log.read(this.transport.name, range.first, Infinity, Infinity, end);
    const entries = run.entries.map(oneLine);
    if (entries.length === 0) this.done(end);
    else await this.deliver({ producer: this.log.producer, ...range, entries, again: true });
  }

  private async deliver(begun: Batch): Promise<void> {
    let batch = begun;
    this.events.sending(batch);
    while (!this.stopped) {
      const outcome = await this.sent(batch);
      if (outcome.kind === 'later') {
        await this.pause(outcome.why, outcome.after);
        batch = { ...batch, again: true };
        continue;
      }
      if (outcome.kind === 'large' && batch.count > 1) {
        this.halve(batch);
        return;
      }
      this.answered(batch, outcome);
      return;
    }
  }

  /** A transport that breaks its promise not to reject has failed, and is asked again. */
  private async sent(batch: Batch): Promise<Outcome> {
    try {
      return await this.transport.send(batch, this.options.timeout);
    } catch (error) {
      return { kind: 'later', why: `transport: ${codeOf(error)}`, after: 0 };
    }
  }

  /** Go on with the first half, begun anew; later batches are no larger. */
  private halve({ first, count, entries }: Batch): void {
    const half = Math.floor(count / 2);
    this.most.entries = Math.max(1, Math.min(this.most.entries, half));
    this.most.bytes = Math.max(1, Math.min(this.most.bytes, Math.floor(sizeOf(entries) / 2)));
    this.log.begin(this.transport.name, { first, count: half });
  }

  private answered(batch: Batch, outcome: Exclude<Outcome, { kind: 'later' }>): void {
    if (outcome.kind === 'sent') {
      if (outcome.receipt) this.keep(batch, outcome.receipt, outcome.altered ?? '');
      this.refuse(batch, outcome.refused ?? [], 'the server does not take it');
    } else {
      this.refuse(batch, [...batch.entries.keys()], outcome.why);
    }
    this.backoff.reset();
    this.done(batch.first + batch.count);
  }

  /** Keep what a server says it stored; `altered` says in what that is not what was sent. */
  private keep(batch: Batch, receipt: Record<string, unknown>, altered: string): void {
    const { producer, first: sequence } = batch;
    const kept = { ...keptOf(receipt), producer, sequence, ...(altered ? { altered } : {}) };
    this.log.receipts.add([receiptJson(kept)]);
    if (!altered) return;
    this.log.altered.add([receiptJson(kept)]);
    this.events.count('altered', 1);
    const { segments: _, lines: __, ...told } = kept as Record<string, unknown>;
    const fields = { event: 'receipt.altered', transport: this.transport.name, ...told };
    this.events.tell('a receipt does not fit what was sent', fields);
  }

  /** Count and keep the entries at these places: nobody will take them. */
  private refuse(batch: Batch, places: readonly number[], why: string): void {
    if (places.length === 0) return;
    const { producer, first, count, entries } = batch;
    const told = { transport: this.transport.name, producer, why };
    const whole = entries.length === count; // else the numbers of its entries are not known
    const line = (place: number): string =>
      JSON.stringify({ ...told, ...(whole ? { sequence: first + place } : {}), entry: entries[place]!.toString() });
    this.log.refused.add(places.map(line));
    this.events.count('refused', places.length);
    this.events.tell('entries were refused', { event: 'entries.refused', ...told, sequence: first, refused: places.length });
  }

  private done(upto: number): void {
    this.log.acknowledge(this.transport.name, upto);
    Object.assign(this.stats, { acknowledged: upto, failures: 0, why: '', stored: Date.now() });
    this.events.sending(undefined);
    this.events.changed();
  }

  private async pause(why: string, after: number): Promise<void> {
    const wait = this.backoff.failed(after);
    Object.assign(this.stats, { failures: this.stats.failures + 1, why });
    this.waits = true;
    this.events.changed();
    await this.signal.wait(wait);
    this.waits = false;
  }
}

/** A line break inside an entry can stand only between tokens: a space there says the same. */
function oneLine(entry: Buffer): Buffer {
  if (!entry.includes(LF)) return entry;
  return Buffer.from(entry.map((byte) => (byte === LF ? 32 : byte)));
}

/** Return the bytes of entries with a line break behind each. */
function sizeOf(entries: readonly Buffer[]): number {
  return entries.reduce((sum, entry) => sum + entry.length + 1, 0);
}
