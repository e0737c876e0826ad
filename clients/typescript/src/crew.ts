/** All shippers of one slot, which work side by side: each transport has its own progress. */

import type { Transport } from './batches.js';
import type { Settings } from './options.js';
import { Shipper, type ShipperEvents } from './shipper.js';
import { Signal } from './signal.js';
import type { SlotLog } from './slot-log.js';
import type { TransportStats } from './store-types.js';

/** What a crew tells: as its shippers, and which of them (by place) sends what. */
export interface CrewEvents extends Omit<ShipperEvents, 'sending'> {
  sending(place: number, range: Parameters<ShipperEvents['sending']>[0]): void;
}

export class Crew {
  private readonly shippers: { name: string; shipper: Shipper }[];
  private readonly progress = new Signal();
  private work: Promise<unknown> = Promise.resolve();

  constructor(
    readonly log: SlotLog,
    private readonly transports: readonly Transport[],
    settings: Settings,
    events: CrewEvents,
  ) {
    const options = {
      entries: Math.max(settings.batchEntries, 1),
      bytes: settings.batchKb * 1024,
      age: settings.batchSeconds * 1000,
      timeout: settings.timeoutSeconds * 1000,
    };
    this.shippers = transports.map((transport, place) => {
      const changed = (): void => {
        events.changed();
        this.progress.fire();
      };
      const own = { ...events, changed, sending: events.sending.bind(events, place) };
      return { name: transport.name, shipper: new Shipper(log, transport, options, own) };
    });
  }

  /** Send what comes until `stop`; with `drain`, until nothing is left. Says whether all was done. */
  async run(drain: boolean): Promise<boolean> {
    const work = Promise.all(this.shippers.map(({ shipper }) => shipper.run(drain)));
    this.work = work;
    return (await work).every(Boolean);
  }

  wake(): void {
    for (const { shipper } of this.shippers) shipper.wake();
  }

  /** Have everything below `upto` sent within so many milliseconds. With `brief`, not by a transport that fails. */
  async flush(upto: number, milliseconds: number, brief = false): Promise<boolean> {
    const until = performance.now() + milliseconds;
    for (const { shipper } of this.shippers) shipper.rush(upto);
    for (;;) {
      const open = this.shippers.filter(({ shipper }) => shipper.acknowledged < upto);
      const left = until - performance.now();
      if (open.length === 0) return true;
      if (left <= 0 || (brief && open.every(({ shipper }) => shipper.failing))) return false;
      await this.progress.wait(Math.min(left, 100));
    }
  }

  /** Begin nothing more. Resolves when what was begun is answered, or after so many milliseconds. */
  async stop(milliseconds: number): Promise<void> {
    for (const { shipper } of this.shippers) shipper.stop();
    await Promise.race([this.work, new Signal().wait(milliseconds)]);
    for (const transport of this.transports) transport.close();
  }

  stats(): Record<string, TransportStats> {
    return Object.fromEntries(this.shippers.map(({ name, shipper }) => [name, { ...shipper.stats }]));
  }
}
