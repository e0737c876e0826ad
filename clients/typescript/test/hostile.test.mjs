// Whatever is logged, a call does not throw, and its entry is valid JSON of at most 65,536 bytes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runWith } from '@sentinel/client';
import { capture } from '@sentinel/client/testing';

const raise = () => {
  throw new Error('never seen');
};

const cycle = { name: 'cycle' };
cycle.self = cycle;
const deep = Array.from({ length: 10_000 }).reduce((inner) => ({ inner }), 1);
const shared = Array.from({ length: 60 }).reduce((inner) => [inner, inner, inner], 'leaf'); // 3^60 leaves, if all were told
const revoked = Proxy.revocable({}, {});
revoked.revoke();

const HOSTILE = {
  cycle,
  deep,
  shared,
  revoked: revoked.proxy,
  getter: { get broken() { return raise(); }, whole: 1 },
  toJSON: { toJSON: raise },
  toJSONAgain: { toJSON() { return { toJSON: raise }; } },
  toStringThrows: { toString: raise, [Symbol.toPrimitive]: raise },
  proxy: new Proxy({}, { get: raise, ownKeys: raise, getPrototypeOf: raise, has: raise, getOwnPropertyDescriptor: raise }),
  proxyKeys: new Proxy({ a: 1 }, { get: raise }),
  bigint: 12345678901234567890123n,
  small: 7n,
  symbol: Symbol('s'),
  symbolKey: { [Symbol('k')]: 1, visible: 2 },
  nan: NaN,
  infinity: -Infinity,
  undefined,
  function: raise,
  date: new Date(NaN),
  map: new Map([[{ a: 1 }, 1], ['b', new Set([1, NaN])]]),
  buffer: Buffer.from('bytes'),
  typed: new Float64Array([1, NaN]),
  view: new DataView(new ArrayBuffer(8)),
  lone: 'a\ud800b\udc00',
  loneKey: { ["lone\ud800key"]: 1 },
  controls: '\u0000\u001f"\\\u007f\u2028\n',
  huge: 'x'.repeat(1_000_000),
  hugeKey: { ['k'.repeat(100_000)]: 1 },
  wide: Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`key${at}`, at])),
  array: new Array(50_000).fill('item'),
  sparse: Object.assign([], { 400_000: 1 }),
  nothing: Object.create(null),
  boxed: [Object('s'), Object(1), Object(1n), Object(Symbol('x'))],
  error: Object.defineProperties(new Error('x'), { stack: { get: raise }, message: { get: raise }, name: { get: raise } }),
  promise: Promise.resolve(),
  weak: new WeakMap(),
  url: new URL('https://example.org/a'),
  proto: JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'),
};

function whole(captured) {
  for (const line of captured.store.lines) {
    assert.ok(Buffer.byteLength(line) <= 65_536, `${Buffer.byteLength(line)} bytes`);
    assert.ok(!line.includes('\n') && line.isWellFormed());
    JSON.parse(line);
  }
  assert.equal(captured.client.stats().counts.broken, undefined);
}

for (const [name, value] of Object.entries(HOSTILE)) {
  test(`a call with ${JSON.stringify(name)} in any place makes an entry`, () => {
    const captured = capture();
    const { log } = captured;
    log.info(value);
    log.info(value, 'message');
    log.info({ field: value, after: 'still there' }, 'message');
    log.info('message', value);
    log.info('%s %d %j %o', value, value, value, value);
    log.info({ err: value, level: value, __proto__: null }, value);
    log.error(new Error('x', { cause: value }));
    log.child({ bound: value, ...Object(value === cycle ? value : {}) }).info({ order: 7 }, 'x');
    runWith({ context: value }, () => log.info({ order: 7 }, 'x'));
    assert.equal(captured.entries.length, 9);
    assert.equal(captured.entries[2].after, 'still there');
    whole(captured);
  });
}

test('bytes are bounded for characters of any size', () => {
  const captured = capture();
  for (const text of ['\u0001', 'é', '€', '😀', '"', '\\'].map((each) => each.repeat(20_000))) {
    captured.log.info({ [text.slice(0, 200)]: text, all: Array.from({ length: 300 }, () => text.slice(0, 250)) }, text);
    captured.log.info(Object.fromEntries(Array.from({ length: 300 }, (_, at) => [text.slice(0, 250) + at, text])), text);
  }
  assert.equal(captured.entries.length, 12);
  whole(captured);
});

test('values are told as JSON has them, and what it has not by name', () => {
  const captured = capture();
  captured.log.info({ a: NaN, b: [undefined, -Infinity], c: 7n, d: new Date(0), e: Buffer.from('hi'), f: new Map([['k', new Set([1])]]), g: undefined, h: 2n ** 70n, i: -0, j: 'a\ud800' }, 'x');
  const { time: _, level: __, logger: ___, message: ____, ...fields } = captured.entries[0];
  assert.deepEqual(fields, {
    a: 'NaN', b: [null, '-Infinity'], c: 7, d: '1970-01-01T00:00:00.000Z', e: 'aGk=', f: { k: [1] }, h: '1180591620717411303424', i: 0, j: 'a\ufffd',
  });
});

test('long values are cut and say so', () => {
  const captured = capture();
  captured.log.info({ long: 'x'.repeat(20_000), list: Array.from({ length: 300 }, (_, at) => at), deep, cycle }, 'x');
  const { long, list, deep: told, cycle: round } = captured.entries[0];
  assert.equal(long, `${'x'.repeat(16_384)}…`);
  assert.equal(list.length, 201);
  assert.equal(list.at(-1), '…');
  assert.equal(JSON.stringify(told).split('inner').length - 1, 10);
  assert.deepEqual(round, { name: 'cycle', self: '<cycle>' });
});

test('a value that logs while it is logged makes entries, and one that never ends is counted', () => {
  const captured = capture();
  const { log } = captured;
  const chatty = { get price() { log.debug({ a: 1 }, 'asked'); return 7; } };
  log.info({ chatty, after: 'x'.repeat(1000) }, 'x');
  assert.deepEqual(captured.entries.map((entry) => entry.message), ['asked', 'x']);
  assert.equal(captured.entries[1].chatty.price, 7);
  const endless = { get self() { log.info(endless); return 1; } };
  log.info(endless, 'x');
  assert.ok(captured.entries.length < 20);
  assert.ok(captured.client.stats().counts.broken >= 1);
});
