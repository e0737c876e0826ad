// Winston's entries.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import winston from 'winston';
import { capture } from '@sentinel/client/testing';
import { SentinelTransport } from '@sentinel/client/winston';

const settled = () => new Promise((done) => setImmediate(done));

function logger(captured, options = {}) {
  const transport = new SentinelTransport(captured.client);
  return winston.createLogger({ level: 'silly', transports: [transport], ...options });
}

test('levels, fields and those of children are kept', async () => {
  const captured = capture();
  const log = logger(captured, { defaultMeta: { service: 'shop' } });
  const child = log.child({ request: 'r-1' });
  child.info('paid', { order: 7, deep: { a: [1] } });
  for (const level of ['error', 'warn', 'http', 'verbose', 'debug', 'silly']) log.log(level, 'x');
  log.info('paid %s', 'twice');
  await settled();
  const [first, ...others] = captured.entries;
  const { time: _, ...told } = first;
  assert.deepEqual(told, { level: 'INFO', logger: 'shop', message: 'paid', service: 'shop', request: 'r-1', order: 7, deep: { a: [1] } });
  assert.deepEqual(others.map((entry) => entry.level), ['ERROR', 'WARNING', 'HTTP', 'VERBOSE', 'DEBUG', 'SILLY', 'INFO']);
});

test('errors are exceptions with frames, in each way that winston takes them', async () => {
  const captured = capture();
  const log = logger(captured);
  const plain = logger(captured, { format: winston.format.combine(winston.format.errors({ stack: true }), winston.format.json()) });
  const error = () => Object.assign(new TypeError('no price'), { code: 'E_PRICE' });
  log.error(error());
  log.error('failed', error());
  log.log({ level: 'error', message: error() });
  log.error('failed', { error: error() });
  plain.error(error());
  plain.error('failed', error());
  await settled();
  assert.equal(captured.entries.length, 6);
  for (const { exception, message } of captured.entries) {
    assert.deepEqual([exception.type, exception.message], ['TypeError', message.startsWith('failed') ? exception.message : message]);
    assert.match(exception.message, /no price/);
    assert.equal(exception.frames.at(-1).file.startsWith('/') || exception.frames.at(-1).file.startsWith('node:'), true);
    assert.ok(exception.frames.some((frame) => frame.file === new URL(import.meta.url).pathname));
  }
});

test('winston\'s formats come first, and levels of the program\'s own keep their name', async () => {
  const captured = capture();
  const log = winston.createLogger({
    levels: { audit: 0, info: 1 },
    level: 'info',
    format: winston.format.combine(winston.format((info) => ({ ...info, added: true }))(), winston.format.timestamp(), winston.format.splat()),
    transports: [new SentinelTransport(captured.client)],
  });
  log.audit('who %s', 'asked', { a: 1 });
  await settled();
  const entry = captured.entries[0];
  assert.deepEqual([entry.level, entry.message, entry.added, entry.a], ['AUDIT', 'who asked', true, 1]);
  assert.ok(Math.abs(entry.time - Date.now() / 1000) < 60);
});

test('the transport has a level of its own, and can be silent', async () => {
  const captured = capture();
  const log = winston.createLogger({ level: 'silly', transports: [new SentinelTransport({ client: captured.client, level: 'warn' })] });
  log.info('left out');
  log.warn('kept');
  const silent = winston.createLogger({ transports: [new SentinelTransport({ client: captured.client, silent: true })] });
  silent.error('left out');
  await settled();
  assert.deepEqual(captured.entries.map((entry) => entry.message), ['kept']);
});

test('values are masked before they are kept, and nothing that is logged breaks winston', async () => {
  const captured = capture();
  const log = logger(captured, { format: winston.format((info) => info)() });
  const cycle = {};
  cycle.self = cycle;
  log.info('x', { password: 'hunter2', cycle, big: 1n, get broken() { return 1; } });
  await settled();
  assert.match(captured.entries[0].password, /^\[\[password:/);
  assert.deepEqual(captured.entries[0].cycle, { self: '<cycle>' });
});

test('the end of a logger waits for the client', async () => {
  const captured = capture();
  const log = logger(captured);
  log.info('x');
  log.end();
  await new Promise((done) => log.once('finish', done));
  assert.equal(captured.store.closed, true);
  assert.equal(captured.entries.length, 1);
});

test('importing the transport loads no winston', () => {
  const script = "await import('@sentinel/client/winston'); const { createRequire } = await import('node:module'); console.log(Object.keys(createRequire(import.meta.url).cache).filter((name) => name.includes('node_modules')).length)";
  const told = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: import.meta.dirname ?? new URL('.', import.meta.url).pathname, encoding: 'utf8' });
  assert.equal(told.trim(), '0');
});
