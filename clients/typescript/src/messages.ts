/** What the caller's thread and the worker say to each other. */

import type { Settings } from './options.js';
import type { Shared } from './shared.js';
import type { Slot } from './slots.js';
import type { TransportStats } from './store-types.js';

/** What the worker is started with. */
export interface WorkerData {
  shared: Shared;
  slot: Slot;
  settings: Settings;
  /** The number with which this process went on. */
  inherited: number;
}

/** To the worker. `end` and `stop` are the last: nothing is sent after their answers. */
export type Order =
  | { order: 'wake' }
  | { order: 'flush'; id: number; upto: number; milliseconds: number }
  | { order: 'end'; upto: number; milliseconds: number }
  | { order: 'stop' };

/** From the worker. */
export type News =
  | { news: 'stats'; transports: Record<string, TransportStats>; failedSyncs: number }
  | { news: 'flushed'; id: number; done: boolean }
  | { news: 'tell'; message: string; fields: Record<string, unknown> }
  | { news: 'stopped' };
