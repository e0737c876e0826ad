/** The worker thread: sends, syncs, takes over what dead processes left. Its slot is that of its caller. */

import { parentPort, workerData } from 'node:worker_threads';
import { Crew, type CrewEvents } from './crew.js';
import type { News, Order, WorkerData } from './messages.js';
import { Orphans } from './orphans.js';
import { ASK, countShared, DONE, ENDED, IDLE, NEXT, shareRange, widened } from './shared.js';
import { Signal } from './signal.js';
import { SlotLog, type SlotLogOptions } from './slot-log.js';
import { touch } from './slots.js';
import { readState } from './state.js';
import { Syncing } from './syncing.js';
import { makeTransports } from './transports/index.js';

const { shared, slot, settings, inherited } = workerData as WorkerData;
const port = parentPort!;
const HEARTBEAT = 60_000; // milliseconds; others may take a slot whose owner is silent for ten times as long
const ORPHANS = 30_000;

function post(news: News): void {
  port.postMessage(news);
}

let near = inherited;
function next(): number {
  near = widened(Atomics.load(shared, NEXT), near);
  return near;
}

const common: Pick<SlotLogOptions, 'durable' | 'lost' | 'transports'> = {
  transports: makeTransports(settings).map(({ name }) => name),
  durable: settings.fsync !== 'never',
  lost: (by) => countShared(shared, 'corrupt', by),
};

const log = new SlotLog({ ...common, slot, state: readState(slot.folder).state, inherited, next });
const syncing = new Syncing(slot.folder, next);

const quiet: CrewEvents = {
  count: (reason, by) => countShared(shared, reason, by),
  tell: (message, fields) => post({ news: 'tell', message, fields }),
  sending: () => {},
  idle: () => {},
  changed: () => {},
};

const crew = new Crew(log, makeTransports(settings), settings, {
  ...quiet,
  sending: (place, range) => shareRange(shared, place, range),
  idle: () => Atomics.store(shared, IDLE, 1),
  changed: () => {
    Atomics.store(shared, DONE, log.done() | 0);
    Atomics.notify(shared, DONE);
    tellStats();
  },
});

let inherits: Crew | undefined;
const orphans = new Orphans(
  settings.directory,
  async (orphan, state, end) => {
    const left = new SlotLog({ ...common, slot: orphan, state, inherited: end, next: () => end });
    const beat = setInterval(() => touch(orphan), HEARTBEAT);
    inherits = new Crew(left, makeTransports(settings), settings, quiet);
    try {
      return await inherits.run(true);
    } finally {
      clearInterval(beat);
      await inherits.stop(0);
      inherits = undefined;
    }
  },
);

function tellStats(): void {
  post({ news: 'stats', transports: crew.stats(), failedSyncs: syncing.failures });
}

function sync(): void {
  if (!syncing.run()) Atomics.store(shared, ASK, 1);
}

function beat(): void {
  if (touch(slot)) return;
  Atomics.store(shared, ASK, 2);
  void crew.stop(0);
}

let inheriting: Promise<void> = Promise.resolve();
let busy = false;

/** Without a transport orphans stay: there is nowhere to send them. A folder that fails is looked at again later. */
function inherit(): void {
  if (busy || settings.transports.length === 0) return;
  busy = true;
  inheriting = orphans
    .run()
    .catch(() => {})
    .finally(() => (busy = false));
}

const timers = [setInterval(beat, HEARTBEAT), setInterval(inherit, ORPHANS)];
if (settings.fsync === 'interval') timers.push(setInterval(sync, Math.max(settings.fsyncSeconds * 1000, 10)));

/** Begin nothing more, within so many milliseconds. */
async function stop(milliseconds: number): Promise<void> {
  timers.forEach(clearInterval);
  orphans.stop();
  await Promise.all([crew.stop(milliseconds), inherits?.stop(milliseconds)]);
  if (settings.fsync === 'interval') sync();
}

async function obey(order: Order): Promise<void> {
  switch (order.order) {
    case 'wake':
      crew.wake();
      break;
    case 'flush':
      post({ news: 'flushed', id: order.id, done: await crew.flush(order.upto, order.milliseconds) });
      break;
    case 'end':
      await crew.flush(order.upto, order.milliseconds, true);
      await stop(0);
      Atomics.add(shared, ENDED, 1);
      Atomics.notify(shared, ENDED);
      break;
    case 'stop':
      await stop(500);
      await Promise.race([inheriting, new Signal().wait(500)]);
      post({ news: 'stopped' });
      port.close();
  }
}

port.on('message', (order: Order) => void obey(order));
Atomics.store(shared, DONE, log.done() | 0);
tellStats();
void crew.run(false);
inherit();
