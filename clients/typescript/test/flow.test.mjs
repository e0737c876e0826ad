// What policy leaves out is counted by its reason, and told.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { runWith } from '@sentinel/client';
import { capture } from '@sentinel/client/testing';

const require = createRequire(import.meta.url);
const { Rates, Repeats, Sampling } = require('../dist/cjs/flow.js');

const call = (changes = {}) => ({ time: 1_000_000, level: 30, logger: 'shop', template: 'x', fields: undefined, trace: '', ...changes });

test('of a trace all entries are kept or none, as the lower half of its id says', () => {
  const sampling = new Sampling([{ rate: 0.5 }], () => assert.fail('a trace is not drawn for'));
  const trace = (half) => `${'0'.repeat(16)}${half}`;
  assert.equal(sampling.rate(call({ trace: trace('7fffffffffffffff') })), 0.5);
  assert.equal(sampling.rate(call({ trace: trace('8000000000000000') })), 0);
});

test('the first sampling rule that fits counts: by logger and those below it, and up to a level', () => {
  const sampling = new Sampling([{ logger: 'shop.web', rate: 1 }, { logger: 'shop', level: 'info', rate: 0 }], () => 0.5);
  assert.equal(sampling.rate(call({ logger: 'shop.web.cart' })), 1);
  assert.equal(sampling.rate(call({ logger: 'shop' })), 0);
  assert.equal(sampling.rate(call({ logger: 'shop', level: 40 })), 1);
  assert.equal(sampling.rate(call({ logger: 'shopping' })), 1);
});

test('without a trace a part is drawn, and the entries that are kept say which part they are', () => {
  const captured = capture({ sampling: [{ rate: 0.5 }] });
  for (let count = 0; count < 400; count += 1) captured.log.info('x');
  const kept = captured.entries.length;
  assert.ok(kept > 100 && kept < 300, `${kept} of 400`);
  assert.ok(captured.entries.every((entry) => entry.sampled === 0.5));
  assert.equal(captured.client.stats().counts.sampled, 400 - kept);
});

test('the trace of the context decides', () => {
  const captured = capture({ sampling: [{ rate: 0.5 }] });
  const parent = (half) => `00-4bf92f3577b34da6${half}-00f067aa0ba902b7-01`;
  runWith({ traceparent: parent('0000000000000001') }, () => captured.log.info('kept'));
  runWith({ traceparent: parent('ffffffffffffffff') }, () => captured.log.info('left out'));
  assert.deepEqual(captured.entries.map((entry) => entry.message), ['kept']);
});

test('a bucket has a burst, and is filled by so many tokens a second', () => {
  const rates = new Rates([{ by: 'user', perSecond: 2, burst: 3 }]);
  const admitted = (time, user) => rates.admits(call({ time, fields: { user } }));
  assert.deepEqual([1, 2, 3, 4].map(() => admitted(0, 'a')), [true, true, true, false]);
  assert.equal(admitted(0, 'b'), true);
  assert.equal(admitted(499, 'a'), false);
  assert.equal(admitted(500, 'a'), true);
  assert.deepEqual([1, 2, 3, 4].map(() => admitted(1e9, 'a')), [true, true, true, false]);
  assert.equal(admitted(0, 'a'), false, 'a clock that goes back gives nothing');
});

test('rates count by logger and template where nothing else is said', () => {
  const captured = capture({ rates: [{ perSecond: 0, burst: 1 }] });
  for (const order of [1, 2, 3]) captured.log.info('paid %d', order);
  captured.log.info('other');
  captured.client.logger('elsewhere').info('paid %d', 4);
  assert.deepEqual(captured.entries.map((entry) => entry.message), ['paid 1', 'other', 'paid 4']);
  assert.equal(captured.client.stats().counts.rate, 2);
});

test('the first of repeats goes out at once, the others as one entry with their number', async () => {
  const captured = capture({ repeatsSeconds: 3600 });
  for (const order of [1, 2, 3]) captured.log.info({ order }, 'paid');
  captured.log.warn('paid');
  assert.deepEqual(captured.entries.map((entry) => [entry.level, entry.order]), [['INFO', 1], ['WARNING', undefined]]);
  await captured.client.flush();
  const last = captured.entries.at(-1);
  assert.deepEqual([last.message, last.order, last.repeated], ['paid', 3, 2]);
  assert.equal(captured.client.stats().counts.repeated, 2);
});

test('a window of repeats ends by itself, also if nothing else is logged', async () => {
  const captured = capture({ repeatsSeconds: 0.05 });
  captured.log.info('x');
  captured.log.info('x');
  while (captured.entries.length < 2) await new Promise((done) => setTimeout(done, 5));
  assert.equal(captured.entries[1].repeated, 1);
});

test('repeats that are waited for are bounded', () => {
  const repeats = new Repeats(1000);
  for (let count = 0; count < 10_001; count += 1) repeats.holds(call({ template: `t${count}` }), () => '{}');
  assert.equal(repeats.holds(call({ template: 't10000' }), () => '{}'), false);
  assert.equal(repeats.holds(call({ template: 't0' }), () => '{}'), true);
});

test('what was left out is told as an entry when the client is closed, and once', async () => {
  const captured = capture({ rates: [{ perSecond: 0, burst: 1 }] });
  captured.log.info('x');
  captured.log.info('x');
  await captured.client.close();
  await captured.client.close();
  const told = captured.found({ logger: 'sentinel_client' });
  assert.equal(told.length, 1);
  assert.equal(told[0].level, 'WARNING');
  assert.equal(told[0].message, 'entries were left out');
  assert.deepEqual(told[0].left_out, { rate: 1 });
  captured.log.info('after the end');
});

test('rules that are none are errors which name what is wrong', () => {
  assert.throws(() => capture({ sampling: [{ rate: 2 }] }), { name: 'OptionError', message: 'sampling: rate is a number from 0 to 1' });
  assert.throws(() => capture({ sampling: [{ logger: 'x', ratio: 1 }] }), /there is no ratio; there are logger, level, rate/);
  assert.throws(() => capture({ rates: [{ perSecond: -1 }] }), /perSecond/);
  assert.throws(() => capture({ rates: [{ perSecond: 1, level: 'loud' }] }), /no level/);
  assert.throws(() => capture({ sampling: {} }), /sampling has to be a list/);
  assert.throws(() => capture({ repeatsSeconds: -1 }), /repeatsSeconds/);
});
