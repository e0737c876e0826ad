/**
 * The caller's end of the worker: started when there is something to do, told once when it sleeps, asked to finish.
 *
 * The worker never keeps the process alive but while a flush is waited for.
 */

import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { codeOf } from './disk.js';
import type { News, Order, WorkerData } from './messages.js';
import { DONE, ENDED, IDLE, type Shared } from './shared.js';
import type { TransportStats } from './store-types.js';

const RESTART = 5000; // milliseconds after a worker that ended by itself

/** Something that the worker wants told as an entry. */
export type Tell = Extract<News, { news: 'tell' }>;

export interface LinkEvents {
  tell(news: Tell): void;
}

export class Link {
  transports: Record<string, TransportStats>;
  failedSyncs = 0;
  private worker: Worker | undefined;
  private starting: NodeJS.Immediate | undefined;
  private closed = false;
  private ids = 0;
  private readonly flushes = new Map<number, (done: boolean) => void>();
  private stopped: () => void = () => {};

  constructor(
    private readonly data: WorkerData,
    acknowledged: Record<string, number>,
    private readonly events: LinkEvents,
  ) {
    // Until the worker tells.
    const begun = { failures: 0, why: '', stored: 0 };
    const all = Object.entries(acknowledged);
    this.transports = Object.fromEntries(all.map(([name, number]) => [name, { acknowledged: number, ...begun }]));
    // A worker takes milliseconds to start: not within the call that logs.
    this.starting = setImmediate(() => this.start());
  }

  private get shared(): Shared {
    return this.data.shared;
  }

  /** There is a new entry. One message at most, until the worker sleeps again. */
  wake(): void {
    if (Atomics.load(this.shared, IDLE) === 0) return;
    Atomics.store(this.shared, IDLE, 0);
    this.order({ order: 'wake' });
  }

  /** Have everything below `upto` sent. Resolves within so many milliseconds (and some for the message). */
  flush(upto: number, milliseconds: number): Promise<boolean> {
    if (this.closed) return Promise.resolve(false);
    this.start();
    if (!this.worker) return Promise.resolve(false);
    return new Promise((resolve) => {
      const id = ++this.ids;
      const timer = setTimeout(() => answer(false), milliseconds + 50);
      const answer = (done: boolean): void => {
        clearTimeout(timer);
        if (this.flushes.delete(id) && this.flushes.size === 0) this.worker?.unref();
        resolve(done);
      };
      this.flushes.set(id, answer);
      this.worker?.ref();
      this.order({ order: 'flush', id, upto, milliseconds });
    });
  }

  /** Wait in the caller's thread, at the end of the process. Says whether the worker is done with the slot. */
  end(upto: number, milliseconds: number): boolean {
    if (this.closed || !this.worker) return !this.worker;
    const before = Atomics.load(this.shared, ENDED);
    this.order({ order: 'end', upto, milliseconds });
    return Atomics.wait(this.shared, ENDED, before, milliseconds + 50) !== 'timed-out';
  }

  /** Stop the worker. Says whether it is done with the slot, which it is within a second or so. */
  async stop(): Promise<boolean> {
    this.closed = true;
    clearImmediate(this.starting);
    const worker = this.worker;
    if (!worker) return true;
    worker.ref();
    const answered = new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), 1500);
      this.stopped = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
    this.order({ order: 'stop' });
    await answered;
    await worker.terminate();
    return true;
  }

  private order(order: Order): void {
    this.worker?.postMessage(order);
  }

  private start(): void {
    clearImmediate(this.starting);
    if (this.worker || this.closed) return;
    const worker = this.made();
    if (!worker) return;
    this.worker = worker;
    worker.on('message', (news: News) => this.heard(news));
    worker.on('error', (error) => this.failed(error));
    worker.on('exit', () => this.gone(worker));
    worker.unref(); // after `on('message')`, which holds the process again
  }

  /** A program may forbid threads (`--permission`): then entries stay on disk, and it is told. */
  private made(): Worker | undefined {
    try {
      return new Worker(join(__dirname, 'worker.js'), { workerData: this.data, name: 'sentinel', execArgv: [] });
    } catch (error) {
      this.failed(error as Error);
      return undefined;
    }
  }

  private heard(news: News): void {
    if (news.news === 'stats') {
      this.transports = news.transports;
      this.failedSyncs = news.failedSyncs;
    } else if (news.news === 'flushed') this.flushes.get(news.id)?.(news.done);
    else if (news.news === 'tell') this.events.tell(news);
    else this.stopped();
  }

  /** The message of an error may hold what was sent; its kind does not. */
  private failed(error: Error): void {
    const why = `worker: ${codeOf(error)}`;
    for (const stats of Object.values(this.transports)) Object.assign(stats, { why });
  }

  private gone(worker: Worker): void {
    if (this.worker !== worker) return;
    this.worker = undefined;
    this.stopped();
    for (const answer of [...this.flushes.values()]) answer(false);
    Atomics.notify(this.shared, DONE);
    if (!this.closed) setTimeout(() => this.start(), RESTART).unref();
  }
}
