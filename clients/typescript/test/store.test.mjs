// The store against a server on loopback: exactly once whatever happens to requests, and receipts that are checked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as zlib from 'node:zlib';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { entriesOf, folder, part, Server, slots, until } from './harness.mjs';

const { batchId } = part('batches');
const { openStore } = part('log-store');
const { settings } = part('options');
const { fault, parseReceipt, refusedPlaces } = part('receipts');
const { retryAfter } = part('transports/http');
const line = (number) => JSON.stringify({ message: 'paid', number });
const numbers = (server) => server.entries.map((entry) => JSON.parse(entry).number);
const range = (count, first = 0) => Array.from({ length: count }, (_, place) => first + place);

function opened(server, more = {}) {
  return openStore({ url: server.url, directory: folder(), batchSeconds: 0.02, ...more });
}

const kept = (directory, name) =>
  readFileSync(join(directory, `${name}.ndjson`), 'utf8').trim().split('\n').map((text) => JSON.parse(text));

test('What append returned for is on disk, numbered from 0, before anything is sent', async () => {
  const directory = folder();
  const store = openStore({ directory });
  assert.deepEqual(range(100).map((number) => store.append(line(number))), range(100));
  assert.deepEqual(entriesOf(directory), range(100).map((sequence) => ({ sequence, entry: line(sequence) })));
  assert.equal(await store.close(1000), true);
});

test('Entries arrive in order, once, and their receipts are kept', async () => {
  const server = await new Server().listen();
  const directory = folder();
  const store = opened(server, { directory, batchEntries: 30 });
  for (const number of range(100)) store.append(line(number));
  assert.equal(await store.flush(20_000), true);
  assert.deepEqual(numbers(server), range(100));
  const { producer } = store;
  const { headers, url } = server.requests[0];
  assert.equal(headers['sentinel-producer'], producer);
  assert.equal(headers['sentinel-instance'], producer);
  assert.equal(headers['sentinel-sequence'], '0');
  assert.equal(headers['sentinel-receipt'], 'full');
  assert.equal(headers['sentinel-batch-id'], batchId({ producer, first: 0, count: 30 }).toString('hex'));
  assert.equal(url, '/v1/entries?partial=true');
  assert.equal(store.stats().transports.http.acknowledged, 100);
  assert.deepEqual(store.stats().counts, {});
  assert.equal(await store.close(5000), true);
  const found = kept(directory, 'receipts');
  assert.deepEqual(found.map(({ sequence, count, altered }) => [sequence, count, altered]), [
    [0, 30, undefined], [30, 30, undefined], [60, 30, undefined], [90, 10, undefined],
  ]);
  assert.ok(found.every((each) => each.producer === producer));
  assert.match(readFileSync(join(directory, 'receipts.ndjson'), 'utf8'), /"t":1764000000000000123[,}]/);
});

test('Lost replies, broken connections, throttling and garbage double and lose nothing', async () => {
  const server = await new Server().listen();
  const faults = ['lose', 'break', { status: 429, headers: { 'retry-after': '0' } }, 'garbage', { status: 503 }, 'lose'];
  server.behave = (request) => (request % 2 ? faults[(request >> 1) % faults.length] : undefined);
  const store = opened(server, { batchEntries: 20 });
  for (const number of range(130)) store.append(line(number));
  while (!(await store.flush(300)));
  assert.deepEqual(numbers(server), range(130));
  assert.equal(new Set(server.batches.keys()).size, server.batches.size);
  assert.deepEqual(store.stats().counts, {});
  await store.close(1000);
});

test('Requests are compressed as the options say, and what is small is not', async () => {
  const kinds = [['gzip', 'gzip'], ['zstd', zlib.zstdCompressSync ? 'zstd' : 'gzip'], ['none', undefined]];
  for (const [compression, encoding] of kinds) {
    const server = await new Server().listen();
    const store = opened(server, { compression });
    const lines = [JSON.stringify({ number: 0, pad: 'x'.repeat(600) }), line(1)];
    store.append(lines[0]);
    assert.equal(await store.flush(20_000), true);
    store.append(lines[1]);
    assert.equal(await store.flush(20_000), true);
    assert.deepEqual(server.entries, lines);
    assert.deepEqual(server.requests.map(({ headers }) => headers['content-encoding']), [encoding, undefined]);
    await store.close(1000);
  }
});

test('Retry-After is waited for, and bounded', () => {
  assert.equal(retryAfter('3', 0), 3000);
  assert.equal(retryAfter('999999', 0), 300_000);
  assert.equal(retryAfter('Thu, 01 Jan 1970 00:00:10 GMT', 4000), 6000);
  assert.equal(retryAfter('soon', 0), 0);
  assert.equal(retryAfter(undefined, 0), 0);
});

test('A server that is away gets everything when it is back', async () => {
  const server = await new Server().listen();
  const { port } = server;
  await server.close();
  const store = opened(server);
  for (const number of range(10)) store.append(line(number));
  assert.equal(await store.flush(200), false);
  await until(() => store.stats().transports.http.why === 'ECONNREFUSED', 'the failure to be told');
  const back = await new Server().listen(port);
  while (!(await store.flush(300)));
  assert.deepEqual(numbers(back), range(10));
  assert.equal(store.stats().transports.http.why, '');
  await store.close(1000);
});

test('A batch that is too large for what stands between goes in halves, and a single entry is refused', async () => {
  const server = await new Server().listen();
  server.behave = (_, lines) => (lines.length > 3 || lines.includes(line(7)) ? { status: 413 } : undefined);
  const directory = folder();
  const store = opened(server, { directory });
  for (const number of range(20)) store.append(line(number));
  assert.equal(await store.flush(20_000), true);
  assert.deepEqual(numbers(server).filter(Number.isInteger), range(20).filter((number) => number !== 7));
  assert.equal(store.stats().counts.refused, 1);
  const [refused] = kept(directory, 'refused');
  assert.deepEqual([refused.entry, refused.sequence, refused.producer], [line(7), 7, store.producer]);
  const sizes = server.requests.map(({ lines }) => lines.length);
  assert.deepEqual(sizes.slice(0, 4), [20, 10, 5, 2]); // halves, and then no larger ones
  assert.ok(sizes.slice(4).every((size) => size <= 2), sizes.join());
  await store.close(1000);
});

test('A server that alters, drops, adds, swaps or moves entries is found, told and its receipt kept', async () => {
  const changes = [
    (all) => [all[0].replace('paid', 'free'), ...all.slice(1)],
    (all) => all.slice(1),
    (all) => [...all, '{}'],
    (all) => [all[1], all[0], ...all.slice(2)],
    (all) => [...all.slice(1), all[0]],
  ];
  for (const change of changes) {
    const server = await new Server().listen();
    server.behave = (request) => (request === 1 ? change : undefined);
    const directory = folder();
    const store = opened(server, { directory });
    for (const number of range(5)) store.append(line(number));
    await store.flush(20_000);
    await until(() => server.entries.some((entry) => entry.includes('receipt.altered')), 'it to be told');
    assert.equal(store.stats().counts.altered, 1);
    await store.close(5000);
    for (const name of ['altered', 'receipts']) assert.match(kept(directory, name)[0].altered, /entries|sent/);
    const told = server.entries.map((entry) => JSON.parse(entry)).find(({ event }) => event === 'receipt.altered');
    assert.deepEqual([told.logger, told.level, told.transport], ['sentinel_client', 'ERROR', 'http']);
  }
});

test('Entries that the server does not take are counted and kept, and it has to say which', () => {
  assert.deepEqual(refusedPlaces({ rejected: 2, lines: [1, 3] }, 3), [0, 2]);
  assert.deepEqual(refusedPlaces({}, 3), []);
  for (const wrong of [{ rejected: 2, lines: [1] }, { rejected: 1 }, { rejected: 1, lines: [4] }, { rejected: 2, lines: [3, 1] }]) {
    assert.deepEqual(refusedPlaces(wrong, 3), []);
    assert.match(fault(wrong, [1, 2, 3].map(() => Buffer.from('{}')), Buffer.alloc(16), ''), /which entries|not sent/);
  }
});

test('A receipt with any number, hash or name changed does not fit', async () => {
  const server = await new Server().listen();
  const store = opened(server);
  for (const number of range(3)) store.append(line(number));
  assert.equal(await store.flush(20_000), true);
  await store.close(1000);
  const [[id, { receipt: text }]] = server.batches;
  const entries = server.entries.map((entry) => Buffer.from(entry));
  const check = (receipt, service = 'local') => fault(parseReceipt(receipt), entries, Buffer.from(id, 'hex'), service);
  assert.equal(check(text), '');
  assert.equal(check(text, ''), '');
  assert.notEqual(check(text, 'another'), '');
  for (const digit of text.matchAll(/[0-9](?=[0-9a-f"},])/g)) {
    if (/"chain":"local\/$/.test(text.slice(0, digit.index))) continue; // of the lane only the genesis speaks
    const changed = `${text.slice(0, digit.index)}${(Number(digit[0]) + 1) % 10}${text.slice(digit.index + 1)}`;
    assert.notEqual(check(changed), '', changed);
  }
  for (const salt of [(all) => all.slice(2), (all) => `${all}00`, (all) => `${all.slice(2)}zz`, () => '']) {
    const changed = text.replace(/(?<="salt":")\w+/, salt);
    assert.equal(check(changed), 'its salt is no hash');
  }
  assert.notEqual(fault(parseReceipt(text.replace(/,"segments.*/, '}')), entries, Buffer.from(id, 'hex'), 'local'), '');
});

test('A copied folder does not lose its entries to the numbers of the other copy', async () => {
  const server = await new Server().listen();
  const directory = folder();
  const store = opened(server, { directory, url: 'http://127.0.0.1:9' });
  store.append(line(1));
  const { producer } = store;
  await store.close(0);
  const copy = folder();
  cpSync(directory, copy, { recursive: true });
  for (const [root, number] of [[directory, 2], [copy, 3]]) {
    rmSync(join(root, producer, 'state.json'), { force: true });
    const next = opened(server, { directory: root });
    next.append(line(number));
    assert.equal(next.producer, producer);
    assert.equal(await next.flush(20_000), true);
    assert.deepEqual(next.stats().counts, {});
    await next.close(1000);
  }
  assert.deepEqual(numbers(server), [1, 2, 1, 3]);
});

test('Segments go when every transport has done them, and the slot stays small', async () => {
  const server = await new Server().listen();
  const directory = folder();
  const store = opened(server, { directory, segmentMb: 0.01, batchEntries: 100 });
  for (const number of range(1000)) store.append(line(number));
  assert.equal(await store.flush(30_000), true);
  assert.deepEqual(numbers(server), range(1000));
  assert.ok(entriesOf(directory).length < 500);
  await store.close(1000);
  assert.equal(slots(directory).length, 1);
});

test('What is none is dropped and counted; append never throws', async () => {
  const store = openStore({ directory: folder() });
  const long = 'x'.repeat(65_536);
  assert.equal(store.append(long), 0);
  assert.equal(store.append(`${long}x`), -1);
  assert.equal(store.append('ä'.repeat(32_769)), -1);
  assert.equal(store.append('ä'.repeat(32_768)), 1);
  assert.equal(store.append(''), -1);
  assert.equal(store.append(undefined), -1);
  assert.equal(store.append(Buffer.from('{}')), 2);
  assert.deepEqual(store.stats().counts, { oversized: 2, broken: 2 });
  await store.close(0);
  assert.equal(store.append('{}'), -1);
});

test('Options that are wrong are told by name, without their value', () => {
  assert.throws(() => openStore({ fsync: 'perhaps' }), { name: 'OptionError', message: /fsync has to be one of/ });
  assert.throws(() => openStore({ diskMb: 'much' }), { name: 'OptionError', message: /diskMb/ });
  assert.throws(() => openStore({ url: 'http://example.com' }), { message: /https/ });
  assert.throws(() => openStore({ transports: [{ kind: 'pigeon' }] }), { message: /pigeon/ });
});

test('Options come from the call, then the environment, then the file, then the defaults', () => {
  const file = { disk_mb: 7, service: 'filed', when_full: 'block' };
  const environ = { SENTINEL_SERVICE: 'environ', SENTINEL_DISK_MB: '9', XDG_STATE_HOME: '/state' };
  const all = settings({ diskMb: 11 }, file, environ);
  assert.deepEqual([all.diskMb, all.service, all.whenFull, all.fsync], [11, 'environ', 'block', 'interval']);
  assert.equal(all.directory, join('/state', 'sentinel-client', 'environ'));
  assert.equal(settings({}, {}, { AWS_LAMBDA_FUNCTION_NAME: 'f' }).directory, '/tmp/sentinel-client/f');
  assert.equal(settings({ directory: '~/log' }, {}, {}).directory, join(homedir(), 'log'));
  assert.match(settings({}, {}, { XDG_STATE_HOME: '/s' }).directory, /default$/);
  assert.deepEqual(settings({}, {}, { SENTINEL_TRANSPORTS: 'console, http' }).transports, [{ kind: 'console' }]);
  assert.deepEqual(settings({ url: 'https://x' }, {}, {}).transports, [{ kind: 'http' }]);
});
