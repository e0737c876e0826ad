/**
 * What every entry of a request says: `runWith`, `bindContext`, by AsyncLocalStorage; and the trace that it
 * belongs to: OpenTelemetry's active span where its API is loaded, else a `traceparent` (W3C Trace Context)
 * that the request came with. OpenTelemetry is never loaded from here: its API registers itself at a global
 * symbol (`@opentelemetry/api`, src/internal/global-utils.ts), and that is read.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Fields } from './entry.js';

export interface Trace {
  /** 32 hex digits, lower case. */
  readonly trace_id: string;
  /** 16 hex digits, lower case. */
  readonly span_id: string;
}

/** Fields of a context. They do not change: binding more makes another. */
export class Bound {
  /** The fields as JSON, `,"name":value…`, and their names: made by `entry.ts` when they are first needed. */
  text = '';
  names: ReadonlySet<string> = new Set();
  /** What the names ask for, as these judged them. */
  asks = 0;
  judged: unknown = undefined;
  /** The voice that is known to have no name in common with these. */
  apart: unknown = undefined;

  constructor(readonly fields: Fields) {}
}

interface Holder {
  bound: Bound;
}

interface Registry {
  context?: { active?: () => { getValue?: (key: symbol) => unknown } | undefined };
}

const storage = new AsyncLocalStorage<Holder>();
const REGISTRY = Symbol.for('opentelemetry.js.api.1');
const SPAN = Symbol.for('OpenTelemetry Context Key SPAN');
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);

/**
 * Call `fn` so that every entry of it, also of what it awaits or starts, has `fields` besides those of the
 * context around. A field `traceparent` becomes `trace_id` and `span_id`. Returns what `fn` returns.
 */
export function runWith<T>(fields: Fields, fn: () => T): T {
  return storage.run({ bound: merged(storage.getStore()?.bound, fields) }, fn);
}

/** Give the rest of the context that runs now further fields. Outside of `runWith` it does nothing. */
export function bindContext(fields: Fields): void {
  const holder = storage.getStore();
  if (holder !== undefined) holder.bound = merged(holder.bound, fields);
}

/** The fields of the context that runs now; empty outside of `runWith`. */
export function currentContext(): Readonly<Fields> {
  return storage.getStore()?.bound.fields ?? {};
}

/** What the context says now, for a logger. */
export function bound(): Bound | undefined {
  return storage.getStore()?.bound;
}

function merged(before: Bound | undefined, fields: Fields): Bound {
  const { traceparent, ...others } = fields;
  const trace = typeof traceparent === 'string' ? traceOf(traceparent) : undefined;
  return new Bound({ ...before?.fields, ...others, ...trace });
}

/** The ids of a `traceparent` header; undefined for what is none (W3C Trace Context, 3.2.2). */
export function traceOf(traceparent: string): Trace | undefined {
  if (traceparent.length > 512) return undefined;
  const found = TRACEPARENT.exec(traceparent.trim());
  if (found === null || found[1] === 'ff' || (found[1] === '00' && found[4] !== undefined)) return undefined;
  return ids(found[2], found[3]);
}

/** The ids of OpenTelemetry's active span; undefined without one. Never throws. */
export function activeSpan(): Trace | undefined {
  const registry = (globalThis as Record<symbol, unknown>)[REGISTRY] as Registry | undefined;
  if (registry === undefined) return undefined;
  try {
    const span = registry.context?.active?.()?.getValue?.(SPAN) as { spanContext?: () => unknown } | undefined;
    const told = span?.spanContext?.() as { traceId?: unknown; spanId?: unknown } | undefined;
    return told === undefined ? undefined : ids(told.traceId, told.spanId);
  } catch {
    return undefined;
  }
}

function ids(trace: unknown, span: unknown): Trace | undefined {
  if (typeof trace !== 'string' || typeof span !== 'string') return undefined;
  if (!/^[0-9a-f]{32}$/.test(trace) || trace === NO_TRACE) return undefined;
  if (!/^[0-9a-f]{16}$/.test(span) || span === NO_SPAN) return undefined;
  return { trace_id: trace, span_id: span };
}
