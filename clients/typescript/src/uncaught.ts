/**
 * What ends a process, as its last entries: exceptions that nobody caught, promises whose rejection nobody
 * handled. Only observed: what Node does with them, and with `--unhandled-rejections`, stays as it is
 * (https://nodejs.org/docs/latest-v20.x/api/process.html#event-uncaughtexceptionmonitor).
 *
 * A rejection that Node raises comes by `uncaughtExceptionMonitor`; one that Node warns of by `warning`. One that
 * the program handles by a listener of its own is seen by a listener beside that, which is there only as long as
 * the program has one: a lone listener would keep Node from raising it.
 */

import type { Client } from './client.js';
import type { Logger } from './logger.js';

const REJECTION = 'unhandledRejection';

let log: Logger | undefined;
let listening = false;
let changing = false;

/** Log what ends the process to a client from now on; to none with undefined. */
export function observe(client: Client | undefined): void {
  log = client?.logger('process');
  if (listening || log === undefined) return;
  listening = true;
  process.on('uncaughtExceptionMonitor', uncaught);
  process.on('warning', warned);
  process.on('newListener', changed);
  process.on('removeListener', changed);
  follow();
}

function uncaught(error: unknown, origin: string): void {
  const message = origin === REJECTION ? 'a promise was rejected and nobody handled it' : 'an exception was not caught';
  log?.fatal({ err: asError(error), origin }, message);
}

function warned(warning: Error): void {
  if (warning.name !== 'UnhandledPromiseRejectionWarning') return;
  if (warning.message.startsWith('Unhandled promise rejection.')) return; // Node's explanation behind it
  log?.error({ err: warning }, 'a promise was rejected and nobody handled it');
}

function rejected(reason: unknown): void {
  log?.error({ err: asError(reason) }, 'a promise was rejected');
}

/** What was thrown, as an error: programs throw texts and objects, too. */
function asError(value: unknown): unknown {
  if (value instanceof Error) return value;
  const error = new Error('', { cause: value });
  error.name = 'Thrown';
  error.stack = '';
  return error;
}

function changed(event: string | symbol): void {
  if (event === REJECTION && !changing) process.nextTick(follow); // `newListener` comes before it is there
}

function follow(): void {
  const listeners = process.listeners(REJECTION);
  const beside = listeners.includes(rejected);
  const others = listeners.length > (beside ? 1 : 0);
  changing = true;
  try {
    if (others && !beside) process.on(REJECTION, rejected);
    if (!others && beside) process.off(REJECTION, rejected);
  } finally {
    changing = false;
  }
}
