/**
 * In AWS Lambda: what was logged is sent before an invocation ends, since the process is frozen then.
 *
 * What cannot be sent in the time that is left stays on the function's disk, and is sent by the next invocation there,
 * if there is one: Lambda may take an environment away at any time, with all that is on its disk.
 */

import type { Store } from './store-types.js';

const RESERVE = 500; // milliseconds of the invocation that are left to its answer
const MOST = 5000;

/** What Lambda gives a handler beside its event, as far as it is used here. */
export interface LambdaContext {
  getRemainingTimeInMillis?(): number;
}

/** Return the milliseconds that an invocation may spend on sending: what it has left, less a reserve. */
export function timeLeft(context: LambdaContext | undefined, most = MOST, reserve = RESERVE): number {
  const remaining = context?.getRemainingTimeInMillis?.();
  return typeof remaining === 'number' ? Math.max(0, Math.min(most, remaining - reserve)) : most;
}

/**
 * Return a handler that flushes before its invocation ends, also where it throws, within the time that is left.
 *
 *     export const handler = withFlush(store, async (event, context) => { ... });
 */
export function withFlush<Event, Context extends LambdaContext, Answer>(
  store: Pick<Store, 'flush'>,
  handler: (event: Event, context: Context) => Promise<Answer> | Answer,
): (event: Event, context: Context) => Promise<Answer> {
  return async (event, context) => {
    try {
      return await handler(event, context);
    } finally {
      await store.flush(timeLeft(context));
    }
  };
}
