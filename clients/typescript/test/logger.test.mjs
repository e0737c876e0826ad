// Calls of loggers and the entries that they make.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import vm from 'node:vm';
import { getLogger, replaceInstalled } from './installed.mjs';
import { runWith } from '@sentinel/client';
import { capture } from '@sentinel/client/testing';

const last = (captured) => captured.entries.at(-1);

test('an entry has time, level, logger and message first, then its fields', () => {
  const captured = capture({ name: 'checkout' });
  const before = Date.now() / 1000;
  captured.log.info({ order: 7, amount: 12.5, paid: true, by: null }, 'paid');
  const line = captured.store.lines[0];
  assert.match(line, /^\{"time":\d+(\.\d{1,3})?,"level":"INFO","logger":"checkout","message":"paid","order":7,"amount":12.5,"paid":true,"by":null\}$/);
  const { time } = JSON.parse(line);
  assert.ok(time >= before && time <= Date.now() / 1000);
});

test('levels have the names that the Python client gives them, and those below the level make no entry', () => {
  const captured = capture({ level: 'debug' });
  const { log } = captured;
  for (const name of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) log[name]('x');
  log.silent('x');
  assert.deepEqual(captured.entries.map((entry) => entry.level), ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL']);
  assert.equal(log.isLevelEnabled('trace'), false);
  assert.equal(log.isLevelEnabled('warn'), true);
  log.level = 'silent';
  log.fatal('x');
  assert.equal(captured.entries.length, 5);
  assert.equal(log.isLevelEnabled('fatal'), false);
});

test('a level that is none is an error that names those there are', () => {
  const { log } = capture();
  assert.throws(() => (log.level = 'loud'), /trace, debug, info, warn, error, fatal/);
  assert.throws(() => capture({ level: 'loud' }), { name: 'OptionError' });
});

test('an option that is none is an error that names those there are', () => {
  assert.throws(() => capture({ leve: 'info' }), { name: 'OptionError', message: /no option "leve"; did you mean "level"/ });
});

test('levels of options count for a logger and those below it', () => {
  const { client } = capture({ level: 'warn', levels: { shop: 'debug', 'shop.db': 'silent' } });
  assert.equal(client.logger('shop').level, 'debug');
  assert.equal(client.logger('shop.web').level, 'debug');
  assert.equal(client.logger('shop.db.pool').level, 'silent');
  assert.equal(client.logger('shopping').level, 'warn');
});

test('arguments mean what they mean to pino', () => {
  const captured = capture();
  const { log } = captured;
  const says = (message, fields, ...args) => {
    log.info(...args);
    const { time: _, level: __, logger: ___, message: told, ...others } = last(captured);
    assert.deepEqual([told, others], [message, fields]);
  };
  says('hello', {}, 'hello');
  says('a b 3 {"c":1} 100%', {}, 'a %s %d %j 100%%', 'b', 3, { c: 1 });
  says('b 2', { a: 1 }, { a: 1 }, 'b %i', 2.9);
  says('a %s', {}, 'a %s');
  says('50% off', { a: 1 }, { a: 1 }, '50% off');
  says('from msg', { a: 1 }, { msg: 'from msg', a: 1 });
  says('', {}, undefined);
  says('', {}, null);
  says('42', {}, 42);
  says('x', {}, null, 'x');
  says('kept', { a: 1 }, 'kept', { a: 1 });
});

test('an error is the exception of the entry, with V8 frames, the outermost first', () => {
  const captured = capture();
  function inner() {
    throw new TypeError('no price');
  }
  try {
    inner();
  } catch (error) {
    error.code = 'E_PRICE';
    captured.log.error(error);
  }
  const { message, exception } = last(captured);
  assert.equal(message, 'no price');
  assert.equal(exception.type, 'TypeError');
  assert.equal(exception.message, 'no price');
  assert.equal(exception.code, 'E_PRICE');
  assert.match(exception.stack, /^TypeError: no price\n +at inner/);
  const frame = exception.frames.at(-1);
  assert.equal(frame.function, 'inner');
  assert.equal(frame.file, new URL(import.meta.url).pathname);
  assert.ok(Number.isInteger(frame.line) && frame.line > 1);
});

test('an error as field err or error, behind a message, and of another realm, is the exception', () => {
  const captured = capture();
  const error = new RangeError('far');
  captured.log.warn({ err: error, a: 1 }, 'x');
  assert.equal(last(captured).exception.type, 'RangeError');
  assert.equal(last(captured).err, undefined);
  captured.log.warn({ error });
  assert.equal(last(captured).message, 'far');
  captured.log.warn('x', error);
  assert.equal(last(captured).exception.message, 'far');
  captured.log.warn(vm.runInNewContext('new SyntaxError("odd")'));
  assert.equal(last(captured).exception.type, 'SyntaxError');
  captured.log.warn({ first: new Error('a'), err: 'text' }, 'x');
  assert.equal(last(captured).first.message, 'a');
  assert.equal(last(captured).err, 'text');
});

test('what led to an error is told, the nearest first, and a cycle of causes ends', () => {
  const captured = capture();
  const root = new Error('root');
  const middle = new AggregateError([new TypeError('one'), root], 'middle');
  const top = new Error('top', { cause: middle });
  root.cause = top;
  captured.log.error(top);
  const { causes } = last(captured).exception;
  assert.deepEqual(causes.map((each) => [each.type, each.message]), [['AggregateError', 'middle'], ['TypeError', 'one'], ['Error', 'root']]);
  captured.log.error(new Error('x', { cause: { status: 502 } }));
  assert.deepEqual(last(captured).exception.causes, [{ type: 'object', message: '{"status":502}', frames: [] }]);
});

test('fields of the call stand for those of the child, and these for those of the context; no name is twice', () => {
  const captured = capture({ fields: { release: '1', a: 'common' } });
  const child = captured.log.child({ a: 'child', b: 'child', c: 'child' }).child({ c: 'grandchild' });
  runWith({ a: 'context', b: 'context', d: 'context', e: 'context' }, () => child.info({ a: 'call', e: 'call' }, 'x'));
  const line = captured.store.lines[0];
  const { a, b, c, d, e, release } = JSON.parse(line);
  assert.deepEqual([a, b, c, d, e, release], ['call', 'child', 'grandchild', 'context', 'call', '1']);
  for (const name of ['a', 'b', 'c', 'd', 'e']) assert.equal(line.split(`"${name}":`).length, 2, line);
});

test('a field that is called as a member of the entry gets a _ behind its name', () => {
  const captured = capture();
  captured.log.child({ logger: 1 }).info({ time: 2, level: 3, message: 4, exception: 5, level_: 6, err: new Error('x') }, 'x');
  const entry = last(captured);
  assert.equal(entry.level, 'INFO');
  assert.deepEqual([entry.logger_, entry.time_, entry.level_, entry.message_, entry.exception_], [1, 2, 3, 4, 5]);
  assert.equal(entry.level__, 6);
  assert.equal(entry.exception.message, 'x');
});

test('children have their own level, prefix and serializers; setBindings is for one logger alone', () => {
  const captured = capture();
  const child = captured.log.child({ a: 1 }, { level: 'error', msgPrefix: '[db] ', serializers: { when: (value) => value.year } });
  child.info('x');
  assert.equal(captured.entries.length, 0);
  child.error({ when: { year: 2026 } }, 'lost');
  assert.equal(last(captured).message, '[db] lost');
  assert.equal(last(captured).when, 2026);
  const grandchild = child.child({ b: 2 });
  child.setBindings({ c: 3 });
  assert.deepEqual(grandchild.bindings(), { a: 1, b: 2 });
  assert.deepEqual(child.bindings(), { a: 1, c: 3 });
});

test('a serializer that throws costs its own field only', () => {
  const captured = capture({ serializers: { odd: () => { throw new Error('no'); } } });
  captured.log.info({ odd: 1, even: 2 }, 'x');
  assert.equal(last(captured).odd, '<value that cannot be told>');
  assert.equal(last(captured).even, 2);
});

test('requests and answers of http are told by what they were', () => {
  const captured = capture();
  const req = { method: 'GET', url: '/a?b=1', headers: { host: 'x' }, socket: { remoteAddress: '127.0.0.1', remotePort: 9 }, secret: {} };
  captured.log.info({ req, res: { statusCode: 404, getHeaders: () => ({ etag: 'e' }) } }, 'x');
  const entry = last(captured);
  assert.deepEqual(entry.req, { method: 'GET', url: '/a?b=1', headers: { host: 'x' }, remoteAddress: '127.0.0.1', remotePort: 9 });
  assert.deepEqual(entry.res, { statusCode: 404, headers: { etag: 'e' } });
});

test('what is logged before the client is installed goes to it when it is there', async () => {
  const log = getLogger('early');
  const child = log.child({ part: 'x' });
  log.info({ a: 1 }, 'before');
  log.debug('below the level until options say otherwise');
  const captured = capture({ fields: { release: '2' }, levels: { early: 'debug' } });
  const restore = replaceInstalled(captured.client);
  try {
    log.debug('after');
    child.debug({ release: 'own' }, 'a child');
    assert.deepEqual(captured.entries.map(({ message, release, part }) => [message, release, part]), [
      ['before', '2', undefined], ['after', '2', undefined], ['a child', 'own', 'x'],
    ]);
  } finally {
    restore();
  }
});
