/** How fields that hold a request or an answer of Node's are written: the part that says what it was. */

import { exceptionOf, isError } from './exceptions.js';
import type { Serializers } from './entry.js';

interface Request {
  id?: unknown;
  method?: unknown;
  url?: unknown;
  originalUrl?: unknown;
  headers?: unknown;
  socket?: { remoteAddress?: unknown; remotePort?: unknown };
}

interface Answer {
  statusCode?: unknown;
  headersSent?: unknown;
  getHeaders?: () => unknown;
}

/** A request (`http.IncomingMessage`, Express, Fastify): id, method, URL, headers and address. Others are unchanged. */
export function req(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('method' in value) || !('headers' in value)) return value;
  const told: Request = value;
  return {
    id: typeof told.id === 'function' ? undefined : told.id,
    method: told.method,
    url: told.originalUrl ?? told.url,
    headers: told.headers,
    remoteAddress: told.socket?.remoteAddress,
    remotePort: told.socket?.remotePort,
  };
}

/** An answer (`http.ServerResponse`): status and headers. Others are unchanged. */
export function res(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('statusCode' in value)) return value;
  const told: Answer = value;
  return { statusCode: told.headersSent === false ? null : told.statusCode, headers: told.getHeaders?.() };
}

/** An error as entries have it: `exceptionOf`. Others are unchanged. */
export function err(value: unknown): unknown {
  return isError(value) ? exceptionOf(value) : value;
}

/** What loggers have without being told. `err` needs none here: an error is the entry's exception. */
export const SERIALIZERS: Serializers = { req, res };
