// Pino's lines as entries, by its worker and in the program's own thread.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import pino from 'pino';
import transport, { destination } from '@sentinel/client/pino';
import { capture } from '@sentinel/client/testing';

const root = mkdtempSync(join(tmpdir(), 'sentinel-pino-'));
after(() => rmSync(root, { recursive: true, force: true }));

const entriesOf = (file) => readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line));

test('in the own thread, levels, bindings, fields and errors are kept', () => {
  const captured = capture();
  const log = pino({ name: 'shop', level: 'trace', base: { pid: 7 } }, destination(captured.client));
  const child = log.child({ request: 'r-1', deep: { a: [1] } });
  child.info({ order: 7, text: 'line\nbreak "quoted" \u2028 é' }, 'paid %s', 'twice');
  child.trace('t');
  child.warn('w');
  child.fatal('f');
  const [first, ...others] = captured.entries;
  assert.deepEqual(others.map((entry) => entry.level), ['TRACE', 'WARNING', 'CRITICAL']);
  const { time, ...told } = first;
  assert.ok(Math.abs(time - Date.now() / 1000) < 60);
  assert.deepEqual(told, {
    level: 'INFO', logger: 'shop', message: 'paid twice', pid: 7, request: 'r-1', deep: { a: [1] }, order: 7, text: 'line\nbreak "quoted" \u2028 é',
  });
});

test('an error is the exception of its entry, with frames', () => {
  const captured = capture();
  const log = pino(destination(captured.client));
  log.error(Object.assign(new TypeError('no price'), { code: 'E_PRICE' }), 'failed');
  const { message, exception, err } = captured.entries[0];
  assert.equal(message, 'failed');
  assert.equal(err, undefined);
  assert.deepEqual([exception.type, exception.message, exception.code], ['TypeError', 'no price', 'E_PRICE']);
  assert.equal(exception.frames.at(-1).file, new URL(import.meta.url).pathname);
});

test('keys, levels and times that pino was told to write otherwise are read', () => {
  const captured = capture();
  const log = pino(
    { messageKey: 'text', errorKey: 'failure', timestamp: pino.stdTimeFunctions.isoTime, customLevels: { audit: 35 }, formatters: { level: (label) => ({ level: label }) } },
    destination({ client: captured.client, messageKey: 'text', errorKey: 'failure' }),
  );
  log.audit({ a: 1 }, 'who');
  log.error({ failure: new RangeError('far') }, 'x');
  assert.deepEqual(captured.entries.map((entry) => [entry.level, entry.message]), [['AUDIT', 'who'], ['ERROR', 'x']]);
  assert.equal(captured.entries[1].exception.type, 'RangeError');
  assert.ok(Math.abs(captured.entries[0].time - Date.now() / 1000) < 60);
});

test('values are masked before they are kept', () => {
  const captured = capture();
  pino(destination(captured.client)).info({ password: 'hunter2', mail: 'to kim@example.org' }, 'x');
  assert.match(captured.entries[0].password, /^\[\[password:[a-z2-7]{13}\]\]$/);
  assert.doesNotMatch(captured.store.lines[0], /hunter2|kim@/);
});

test('lines that come in parts, and what is no line of pino, are kept', () => {
  const captured = capture();
  const sink = destination(captured.client);
  const line = `${JSON.stringify({ level: 30, time: 1764000000123, msg: 'whole', text: 'é' })}\n`;
  for (const part of line) sink.write(part);
  sink.write('no JSON at all\n[1]\n\n');
  assert.deepEqual(captured.entries.map((entry) => entry.message), ['whole', 'no JSON at all', '[1]']);
  assert.equal(captured.entries[0].time, 1764000000.123);
});

test('as a transport in pino\'s worker, everything is on disk and sent when pino has flushed and ended', async () => {
  const sent = join(root, 'sent.ndjson');
  const options = { directory: join(root, 'wal'), service: 'shop', transports: [{ kind: 'file', path: sent }] };
  const stream = pino.transport({ target: '@sentinel/client/pino', options });
  const log = pino({ name: 'shop' }, stream);
  const child = log.child({ request: 'r-1' });
  for (let order = 0; order < 50; order += 1) child.info({ order, text: 'é'.repeat(50) }, 'paid');
  child.error(new RangeError('far'));
  const alive = setInterval(() => {}, 1000); // pino's worker holds no process
  await new Promise((done, fail) => {
    stream.on('close', done);
    stream.on('error', fail);
    stream.end();
  }).finally(() => clearInterval(alive));
  const entries = entriesOf(sent);
  assert.equal(entries.length, 51);
  assert.deepEqual(entries.slice(0, 50).map((entry) => entry.order), Array.from({ length: 50 }, (_, at) => at));
  const last = entries[50];
  assert.deepEqual([last.level, last.logger, last.request, last.exception.type], ['ERROR', 'shop', 'r-1', 'RangeError']);
});

test('the transport takes bytes of which a character is cut in two', async () => {
  const directory = join(root, 'bytes');
  const sent = join(root, 'bytes.ndjson');
  const stream = transport({ directory, service: 'shop', transports: [{ kind: 'file', path: sent }] });
  const bytes = Buffer.from(`${JSON.stringify({ level: 30, msg: '€' })}\n`);
  for (const byte of bytes) stream.write(Buffer.from([byte]));
  await new Promise((done) => stream.end(done));
  assert.equal(entriesOf(sent)[0].message, '€');
});
