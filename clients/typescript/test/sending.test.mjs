// What requests say, and what is kept of their answers: batches that were begun before, refused lines, copied numbers.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { folder, part, Server, until } from './harness.mjs';

const { batchId } = part('batches');
const { Kept } = part('kept');
const { openStore } = part('log-store');
const { settings } = part('options');
const { endOf } = part('receipts');
const { HttpTransport } = part('transports/http');
const line = (number) => JSON.stringify({ message: 'paid', number });
const range = (count, first = 0) => Array.from({ length: count }, (_, place) => first + place);
const since = (server) => server.requests.map(({ headers }) => headers['sentinel-since']);

function opened(server, more = {}) {
  return openStore({ url: server.url, directory: folder(), batchSeconds: 0.02, ...more });
}

test('A batch that was begun is sent again with its range and says since where it may be, also after a restart', async () => {
  const server = await new Server().listen();
  const directory = folder();
  const first = opened(server, { directory });
  range(3).forEach((number) => first.append(line(number)));
  assert.equal(await first.flush(20_000), true);
  server.behave = (request) => (request <= 3 ? 'lose' : undefined);
  first.append(line(3));
  while (!(await first.flush(300)));
  assert.deepEqual(since(server), [undefined, undefined, '3 local/0', '3 local/0']);
  server.behave = () => 'lose';
  first.append(line(4));
  await until(() => server.requests.length > 4, 'a request');
  await first.close(0);
  const before = server.requests.length;
  server.behave = () => undefined;
  const second = opened(server, { directory });
  second.append(line(5));
  assert.equal(await second.flush(20_000), true);
  assert.deepEqual(since(server).slice(before), ['0', undefined]); // of the other process nothing is known
  const ids = server.requests.slice(before - 1).map(({ headers }) => headers['sentinel-batch-id']);
  assert.equal(ids[0], ids[1]);
  assert.deepEqual(server.entries, range(6).map(line));
  await second.close(1000);
});

test('Where a batch ended is said of its last segment, but not in a header that cannot have the name', () => {
  const segments = [{ first: 3, count: 2 }, { first: 9, count: 4 }];
  assert.equal(endOf({ chain: 'shop/0', segments }), '13 shop/0');
  for (const chain of ['a\r\nX-Y: z/0', '\u6c7a\u6e08/0']) assert.equal(endOf({ chain, segments }), undefined);
});

test('A service may have a name of any script', async () => {
  const server = await new Server().listen();
  const service = '\u6c7a\u6e08';
  const to = new HttpTransport('http', settings({ url: server.url, service }, {}, {}));
  await to.send({ producer: 'js-0011223344556677', first: 0, count: 1, entries: [Buffer.from('{}')] }, 5000);
  assert.equal(Buffer.from(server.requests[0].headers['sentinel-service'], 'latin1').toString(), service);
  to.close();
});

test('Lines that the server refuses are counted and kept with their numbers, and the receipt fits the others', async () => {
  const server = await new Server().listen();
  const directory = folder();
  server.behave = () => ({ refuse: (text) => text === line(1) || text === line(3) });
  const store = opened(server, { directory });
  range(5).forEach((number) => store.append(line(number)));
  assert.equal(await store.flush(20_000), true);
  assert.deepEqual(server.entries.slice(0, 3), [0, 2, 4].map(line));
  assert.deepEqual(store.stats().counts, { refused: 2 });
  const lines = readFileSync(join(directory, 'refused.ndjson'), 'utf8').trim().split('\n').map((text) => JSON.parse(text));
  const { producer } = store;
  const why = 'the server does not take it';
  assert.deepEqual(lines, [1, 3].map((number) => ({ transport: 'http', producer, why, sequence: number, entry: line(number) })));
  await until(() => server.entries.some((entry) => entry.includes('entries.refused')), 'it to be told');
  const [receipt] = readFileSync(join(directory, 'receipts.ndjson'), 'utf8').split('\n').map((text) => JSON.parse(text || '{}'));
  assert.deepEqual([receipt.rejected, receipt.lines, receipt.count, receipt.altered], [2, [2, 4], 3, undefined]);
  await store.close(1000);
});

test('A whole range whose id stands for other entries is sent with its content in the id, the same each time', async () => {
  const server = await new Server().listen();
  const to = new HttpTransport('http', settings({ url: server.url }, {}, {}));
  const batch = (...texts) => ({
    producer: 'js-0011223344556677', first: 0, count: texts.length, entries: texts.map((text) => Buffer.from(text)),
  });
  await to.send(batch(line(0), line(1)), 5000);
  for (const _ of [1, 2]) {
    const outcome = await to.send(batch(line(2), line(3)), 5000);
    assert.deepEqual([outcome.kind, outcome.altered], ['sent', '']);
  }
  const content = createHash('sha256').update(`${line(2)}\n${line(3)}`).digest();
  const own = batchId(batch(line(2), line(3)));
  const id = createHash('sha256').update('SB3').update(own).update(content).digest('hex').slice(0, 32);
  const ids = server.requests.map(({ headers }) => headers['sentinel-batch-id']);
  assert.deepEqual(ids, [own, own, id, own, id].map((each) => each.toString('hex')));
  assert.deepEqual(server.entries, range(4).map(line));
  to.close();
});

test('What follows a batch that its bytes ended leaves at once', async () => {
  const server = await new Server().listen();
  const store = opened(server, { batchSeconds: 1, batchKb: 1 });
  range(1200).forEach((number) => store.append(line(number))); // some 40 batches
  await until(() => server.entries.length > 1100, 'nearly all of them');
  await store.close(5000);
  assert.deepEqual(server.entries, range(1200).map(line));
});

test('Files that are kept have two pieces, are their owner\'s, and end a line that was cut off', () => {
  const root = folder();
  const kept = new Kept(root, 'receipts.ndjson', 100);
  const lines = range(30).map((number) => JSON.stringify({ number }));
  lines.forEach((each) => assert.equal(kept.add([each]), true));
  const found = kept.lines();
  assert.deepEqual(found, lines.slice(-found.length));
  assert.ok(found.length >= 7 && found.length < 16, String(found.length));
  assert.equal(statSync(join(root, 'receipts.ndjson')).mode & 0o777, 0o600);
  appendFileSync(join(root, 'receipts.ndjson'), '{"cut');
  kept.add(['{"number":30}']);
  assert.equal(kept.lines().at(-1), '{"number":30}');
  symlinkSync(join(root, 'elsewhere'), join(root, 'refused.ndjson'));
  assert.equal(new Kept(root, 'refused.ndjson').add(['{}']), false); // links are not followed
});
