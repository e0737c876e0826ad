/**
 * Requests as a context: every entry that is made while one is answered has its id, method, path and trace, and
 * the answer is an entry of its own. For Node's `http`, and what builds on it (Express, Connect); for Fastify,
 * `requestContext` in an `onRequest` hook.
 */

import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { runWith } from './context.js';
import type { Fields } from './entry.js';
import type { Logger } from './logger.js';
import { getLogger } from './pending.js';

const ID = /^[\w.:@+/=-]{1,128}$/;

/**
 * What a request gives its context: `request_id` (the header `X-Request-Id`, else a new one), `method`, `path`
 * without its query, and the ids of its `traceparent`.
 */
export function requestContext(request: IncomingMessage): Fields {
  const told = request.headers['x-request-id'];
  const id = typeof told === 'string' && ID.test(told) ? told : randomUUID();
  const trace = request.headers['traceparent'];
  const url = (request as { originalUrl?: string }).originalUrl ?? request.url ?? '';
  const end = url.search(/[?#]/);
  const fields: Fields = { request_id: id, method: request.method, path: end === -1 ? url : url.slice(0, end) };
  if (typeof trace === 'string') fields['traceparent'] = trace;
  return fields;
}

export interface MiddlewareOptions {
  /** Logs the answers; `getLogger('http')` where it is left out. */
  log?: Logger;
  /** Whether answers are entries; true where it is left out. */
  answers?: boolean;
}

/** A middleware of the form `(request, response, next)`. */
export function middleware(options: MiddlewareOptions = {}) {
  const log = options.log ?? getLogger('http');
  const answers = options.answers !== false;
  return (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    const began = process.hrtime.bigint();
    runWith(requestContext(request), () => {
      if (answers) response.once('close', runner(() => answered(log, response, began)));
      next();
    });
  };
}

/** A function that runs in the context that is there now: events have that of whoever emits them. */
function runner(fn: () => void): () => void {
  return AsyncResource.bind(fn);
}

function answered(log: Logger, response: ServerResponse, began: bigint): void {
  const milliseconds = Number(process.hrtime.bigint() - began) / 1e6;
  const whole = response.writableFinished;
  const fields = { status: response.statusCode, duration_ms: Math.round(milliseconds * 1000) / 1000 };
  if (!whole) log.warn(fields, 'the request was broken off');
  else if (response.statusCode >= 500) log.error(fields, 'request');
  else log.info(fields, 'request');
}
