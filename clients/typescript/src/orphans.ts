/** Slots that dead processes left: taken over one after the other, sent, and deleted when nothing is left in them. */

import * as fs from 'node:fs';
import { join } from 'node:path';
import { recover } from './segments.js';
import { discard, release, type Slot, slotNames, take } from './slots.js';
import { readState } from './state.js';

/** Sends everything of a slot. Says whether all of it was. */
export type Send = (slot: Slot, state: ReturnType<typeof readState>['state'], next: number) => Promise<boolean>;

export class Orphans {
  private stopped = false;

  constructor(
    private readonly root: string,
    private readonly send: Send,
  ) {}

  /** Take over every slot that is free now. */
  async run(): Promise<void> {
    this.sweep();
    for (const name of slotNames(this.root)) {
      if (this.stopped) return;
      const slot = take(this.root, name);
      if (slot) await this.over(slot);
    }
  }

  stop(): void {
    this.stopped = true;
  }

  private async over(slot: Slot): Promise<void> {
    let done = false;
    try {
      const { state } = readState(slot.folder);
      const { next } = recover(slot.folder, state);
      done = await this.send(slot, state, next);
    } finally {
      if (done) discard(slot);
      else release(slot);
    }
  }

  /** Delete what was being deleted when its process ended. */
  private sweep(): void {
    for (const name of fs.readdirSync(this.root)) {
      if (/^js-[0-9a-f]{16}\.gone$/.test(name)) fs.rmSync(join(this.root, name), { recursive: true, force: true });
    }
  }
}
