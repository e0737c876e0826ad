// What programs use in their own tests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getLogger, install, installed } from '@sentinel/client';
import { capture, capturing } from '@sentinel/client/testing';

test('an entry is found by values, expressions and functions, and returned', () => {
  const captured = capture();
  captured.log.warn({ order: 7, deep: { a: [1] } }, 'paid twice');
  const entry = captured.assertLogged({ level: 'WARNING', message: /twice$/, order: (order) => order > 6, deep: { a: [1] } });
  assert.equal(entry.order, 7);
  assert.equal(captured.found({ order: 8 }).length, 0);
});

test('an assertion that fails says what was asked for and what was logged, and where', () => {
  const captured = capture();
  assert.throws(() => captured.assertLogged({ message: 'x' }), { name: 'AssertionError', message: 'nothing was logged with {"message":"x"}; nothing was logged at all' });
  for (let order = 0; order < 12; order += 1) captured.log.info({ order }, 'paid');
  assert.throws(
    () => captured.assertLogged({ message: /unpaid/ }),
    (error) => /with \{"message":"\/unpaid\/"\}; this was \(the last 10 of 12\):\n\{.*"order":2\}/.test(error.message) && error.message.includes('"order":11'),
  );
  assert.throws(() => captured.assertNotLogged({ order: 3 }), { name: 'AssertionError', message: /^this was logged: \{.*"order":3/ });
  captured.assertNotLogged({ order: 99 });
  captured.clear();
  assert.deepEqual(captured.entries, []);
});

test('what the loggers of modules log is captured while a function runs, and goes where it went before afterwards', async () => {
  const outer = capture();
  install(outer.client);
  const log = getLogger('module').child({ part: 'cart' });
  try {
    const answer = await capturing(async (captured) => {
      log.info('inside');
      await null;
      captured.assertLogged({ message: 'inside', part: 'cart', logger: 'module' });
      return 42;
    });
    assert.equal(answer, 42);
    assert.equal(installed(), outer.client);
    log.info('outside');
    assert.deepEqual(outer.entries.map((entry) => entry.message), ['outside']);
    await assert.rejects(capturing(() => { throw new Error('x'); }));
    assert.equal(installed(), outer.client);
  } finally {
    const { close } = await import('@sentinel/client');
    await close();
  }
});
