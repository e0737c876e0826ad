// Contexts of requests, traces, and middleware for http.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bindContext, currentContext, middleware, requestContext, runWith, traceOf } from '@sentinel/client';
import { capture } from '@sentinel/client/testing';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

test('all entries of a context have its fields, also what it awaits; contexts beside it have their own', async () => {
  const captured = capture();
  const request = (id) =>
    runWith({ request_id: id }, async () => {
      captured.log.info('begins');
      await sleep(id === 'a' ? 4 : 1);
      bindContext({ user: `user-${id}` });
      runWith({ step: 'inner' }, () => captured.log.info('inner'));
      await sleep(1);
      captured.log.info('ends');
    });
  await Promise.all([request('a'), request('b')]);
  captured.log.info('outside');
  for (const id of ['a', 'b']) {
    const told = captured.found({ request_id: id }).map((entry) => [entry.message, entry.user, entry.step]);
    assert.deepEqual(told, [['begins', undefined, undefined], ['inner', `user-${id}`, 'inner'], ['ends', `user-${id}`, undefined]]);
  }
  assert.equal(captured.assertLogged({ message: 'outside' }).request_id, undefined);
  assert.deepEqual(currentContext(), {});
});

test('a traceparent becomes the ids of a trace, and what is none becomes nothing', () => {
  const captured = capture();
  runWith({ traceparent: `00-${TRACE}-${SPAN}-01` }, () => captured.log.info('x'));
  const { trace_id: trace, span_id: span, traceparent } = captured.entries[0];
  assert.deepEqual([trace, span, traceparent], [TRACE, SPAN, undefined]);
  assert.deepEqual(traceOf(`cc-${TRACE}-${SPAN}-01-later`), { trace_id: TRACE, span_id: SPAN });
  for (const none of ['', 'x', `ff-${TRACE}-${SPAN}-01`, `00-${TRACE}-${SPAN}-01-x`, `00-${'0'.repeat(32)}-${SPAN}-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `00-${TRACE.toUpperCase()}-${SPAN}-01`]) {
    assert.equal(traceOf(none), undefined, none);
  }
});

test('the active span of OpenTelemetry gives its ids, unless the entry says others; one that throws gives none', () => {
  const captured = capture();
  const key = Symbol.for('opentelemetry.js.api.1');
  let span = { spanContext: () => ({ traceId: TRACE, spanId: SPAN, traceFlags: 1 }) };
  // As @opentelemetry/api registers itself: the context manager under `context`, the span under its key.
  globalThis[key] = { context: { active: () => ({ getValue: (of) => (of === Symbol.for('OpenTelemetry Context Key SPAN') ? span : undefined) }) } };
  try {
    captured.log.info({ a: 1 }, 'x');
    captured.log.child({ trace_id: 'mine' }).info('x');
    captured.log.info({ trace_id: 'call' }, 'x');
    captured.log.error(new Error('x'));
    runWith({ traceparent: `00-${'1'.repeat(32)}-${SPAN}-01` }, () => captured.log.info('x'));
    span = { spanContext() { throw new Error('x'); } };
    captured.log.info('x');
    span = { spanContext: () => ({ traceId: '"injected', spanId: SPAN }) };
    captured.log.info('x');
  } finally {
    delete globalThis[key];
  }
  const told = captured.entries.map((entry) => entry.trace_id);
  assert.deepEqual(told, [TRACE, 'mine', 'call', TRACE, '1'.repeat(32), undefined, undefined]);
  for (const line of captured.store.lines) assert.ok(line.split('"trace_id"').length <= 2, line);
});

test('the context of a request has its id if that is one, its path without the query, and its trace', () => {
  const request = (headers, url = '/a?token=x') => requestContext({ headers, method: 'GET', url });
  assert.deepEqual(request({ 'x-request-id': 'abc-1', traceparent: `00-${TRACE}-${SPAN}-01` }), {
    request_id: 'abc-1', method: 'GET', path: '/a', traceparent: `00-${TRACE}-${SPAN}-01`,
  });
  assert.match(request({ 'x-request-id': 'two words' }).request_id, /^[0-9a-f-]{36}$/);
});

test('the middleware gives the entries of a request its context, and tells the answer', async () => {
  const captured = capture();
  const logged = middleware({ log: captured.client.logger('http') });
  const server = http.createServer((request, response) => {
    logged(request, response, async () => {
      await sleep(1);
      captured.log.info('in the handler');
      if (request.url === '/broken') return response.destroy();
      response.statusCode = request.url === '/fails' ? 503 : 201;
      response.end('done');
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const base = `http://127.0.0.1:${server.address().port}`;
  await fetch(`${base}/orders?secret=1`, { headers: { 'x-request-id': 'r-1', traceparent: `00-${TRACE}-${SPAN}-01` } });
  await fetch(`${base}/fails`);
  await assert.rejects(fetch(`${base}/broken`));
  await new Promise((done) => server.close(done));
  while (captured.found({ path: '/broken' }).length < 2) await sleep(1);
  const inside = captured.assertLogged({ message: 'in the handler', request_id: 'r-1' });
  assert.deepEqual([inside.path, inside.method, inside.trace_id], ['/orders', 'GET', TRACE]);
  const answer = captured.assertLogged({ message: 'request', request_id: 'r-1', status: 201, logger: 'http', level: 'INFO' });
  assert.ok(answer.duration_ms >= 0);
  captured.assertLogged({ message: 'request', path: '/fails', status: 503, level: 'ERROR' });
  captured.assertLogged({ message: 'the request was broken off', path: '/broken', level: 'WARNING' });
});
