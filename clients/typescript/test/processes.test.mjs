// Several processes, killed ones among them: nothing that was accepted is lost, nothing arrives twice.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { entriesOf, folder, part, Server, slots, until } from './harness.mjs';

const { openStore } = part('log-store');
const { lives, self } = part('processes');
const { makeSlot, openRoot, release, take, takeAny } = part('slots');
const fsModule = createRequire(import.meta.url)('node:fs');
const CHILD = fileURLToPath(new URL('child.mjs', import.meta.url));
const thorough = Boolean(process.env.SENTINEL_THOROUGH);

/** Run a program that logs. `said()` are the numbers that it was told are accepted. */
function child(options, name, count = '') {
  const made = spawn(process.execPath, [CHILD, JSON.stringify(options), name, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  made.stdout.on('data', (part) => (text += part));
  const ended = new Promise((resolve) => made.on('close', (code, signal) => resolve(signal ?? code)));
  const said = () => text.slice(0, text.lastIndexOf('\n') + 1).split('\n').filter(Boolean).map(Number);
  return { name, said, ended, process: made, kill: () => (made.kill('SIGKILL'), ended) };
}

/** Return the numbers of one program among entries, in order. */
const of = (entries, name) => entries.map((entry) => JSON.parse(entry)).filter((entry) => entry.name === name).map(({ number }) => number);
const range = (count) => Array.from({ length: count }, (_, place) => place);

test('After kill -9 all that append returned for is on disk, in order and once', async () => {
  for (let round = 0; round < (thorough ? 20 : 3); round++) {
    const directory = folder();
    const one = child({ directory, segmentMb: 0.01 }, 'one');
    await until(() => one.said().length > 1 + Math.random() * 300, 'some numbers');
    await one.kill();
    const found = of(entriesOf(directory).map(({ entry }) => entry), 'one');
    assert.deepEqual(found, range(found.length));
    assert.ok(found.length >= one.said().length);
  }
});

test('Processes that are killed while the server is up, down and flapping lose and double nothing', async () => {
  const server = await new Server().listen();
  const faults = [undefined, 'lose', 'break', { status: 503, headers: { 'retry-after': '0' } }];
  server.behave = () => faults[Math.floor(Math.random() * faults.length)];
  const directory = folder();
  const options = { directory, url: server.url, segmentMb: 0.02, batchEntries: 150, batchSeconds: 0.01 };
  const all = [];
  for (let round = 0; round < (thorough ? 40 : 4); round++) {
    // Each process would batch in its own way: only what was noted makes it send the same range again.
    const one = child({ ...options, batchEntries: 100 + 35 * (round % 9) }, `round ${round}`);
    all.push(one);
    const [numbers, requests] = [Math.random() * 400, server.requests.length + (round % 4)];
    await until(() => one.said().length > numbers && server.requests.length >= requests, 'numbers and requests');
    await one.kill();
  }
  server.behave = () => undefined;
  const last = openStore({ directory, url: server.url, batchSeconds: 0.01 });
  last.append('{"name":"last","number":0}');
  const accepted = [{ name: 'last', count: 1 }, ...all.map(({ name, said }) => ({ name, count: said().length }))];
  await until(() => accepted.every(({ name, count }) => server.numbers(name).length >= count), 'everything to arrive');
  for (const { name } of all) {
    const found = server.numbers(name);
    assert.deepEqual(found, range(found.length), name);
  }
  await last.close(5000);
});

test('Two processes on one root have a slot each, and the slots of dead ones are sent and deleted', async () => {
  const server = await new Server().listen();
  const directory = folder();
  const pair = [child({ directory }, 'a'), child({ directory }, 'b')];
  await until(() => pair.every(({ said }) => said().length > 10), 'both to log');
  assert.equal(slots(directory).length, 2);
  await Promise.all(pair.map(({ kill }) => kill()));
  const store = openStore({ directory, url: server.url, batchSeconds: 0.01 });
  store.append('{"name":"c","number":0}');
  await until(() => slots(directory).length === 1, 'the orphan to go');
  await store.flush(20_000);
  for (const { name, said } of pair) assert.ok(server.numbers(name).length >= said().length);
  await store.close(5000);
  const kept = fs.readFileSync(join(directory, 'receipts.ndjson'), 'utf8').trim().split('\n');
  assert.equal(new Set(kept.map((text) => JSON.parse(text).producer)).size, 2); // the orphan's receipts outlive it
});

test('A process that ends by itself sends what it has, within its bound, and gives its slot back', async () => {
  const server = await new Server().listen();
  const directory = folder();
  for (const name of ['first', 'second']) {
    const one = child({ directory, url: server.url }, name, 30);
    assert.equal(await one.ended, 0);
    assert.deepEqual(server.numbers(name), range(30));
  }
  assert.equal(slots(directory).length, 1);
});

test('process.exit waits for the worker within its bound, so that what was appended is sent', async () => {
  const server = await new Server().listen();
  const code = `
    const store = require(process.argv[1]).openStore({ directory: process.argv[2], url: process.argv[3], batchSeconds: 60 });
    store.append('{"name":"exits","number":0}');
    setTimeout(() => process.exit(3), 50);`;
  const file = fileURLToPath(new URL('../dist/cjs/index.js', import.meta.url));
  const one = spawn(process.execPath, ['-e', code, file, folder(), server.url], { stdio: 'inherit' });
  assert.equal(await new Promise((resolve) => one.on('close', resolve)), 3);
  assert.deepEqual(server.numbers('exits'), [0]);
});

test('A worker that ended by itself is told, and another one begins', async () => {
  const server = await new Server().listen();
  const directory = folder();
  const store = openStore({ directory, url: server.url, batchSeconds: 0.01 });
  store.append('{"name":"a","number":0}');
  assert.equal(await store.flush(20_000), true);
  const { link } = store; // no part of its interface: a worker's death cannot be asked for
  link.worker.emit('error', new TypeError('x'));
  await link.worker.terminate();
  assert.equal(store.stats().transports.http.why, 'worker: TypeError');
  store.append('{"name":"a","number":1}');
  assert.equal(await store.flush(20_000), true);
  assert.deepEqual(server.numbers('a'), [0, 1]);
  await store.close(1000);
});

test('Where threads are forbidden entries stay on disk, and the program goes on', async () => {
  const code = `
    const store = require(process.argv[1]).openStore({ directory: process.argv[2], url: 'http://127.0.0.1:9' });
    store.append('{"name":"forbidden","number":0}');
    setTimeout(async () => {
      console.log(await store.flush(1000), store.stats().transports.http.why);
      await store.close(1000);
    }, 20);`;
  const file = fileURLToPath(new URL('../dist/cjs/index.js', import.meta.url));
  const directory = folder();
  const allowed = ['--allow-fs-read=*', '--allow-fs-write=*', '--allow-net', '-e', code, file, directory];
  const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission';
  const flags = allowed.filter((flag) => flag !== '--allow-net' || process.allowedNodeEnvironmentFlags.has(flag));
  const one = spawn(process.execPath, [permission, ...flags], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  one.stdout.on('data', (part) => (text += part));
  assert.equal(await new Promise((resolve) => one.on('close', resolve)), 0);
  assert.equal(text, 'false worker: ERR_ACCESS_DENIED\n');
  assert.equal(entriesOf(directory).length, 1);
});

test('A process ends in time although its server is away, and its entries stay', async () => {
  const server = await new Server().listen();
  await server.close();
  const directory = folder();
  const one = child({ directory, url: server.url, exitSeconds: 0.3 }, 'alone', 5);
  assert.equal(await one.ended, 0);
  assert.equal(entriesOf(directory).length, 5);
});

test('A lock is stale when its process is gone, its id is reused, or the machine was started anew', () => {
  const own = self();
  assert.equal(lives(own), true);
  assert.equal(lives({ ...own, pid: 2 ** 22 + 1 }), false);
  if (own.boot) {
    assert.equal(lives({ ...own, started: '1' }), false);
    assert.equal(lives({ ...own, boot: 'another' }), false);
    assert.equal(lives({ ...own, space: 'pid:[1]' }), undefined);
  }
});

test('A slot is taken once, given back, taken again; what is unreadable counts while it is fresh', () => {
  const root = folder();
  const slot = makeSlot(root);
  assert.equal(take(root, slot.producer), undefined);
  release(slot);
  const again = take(root, slot.producer);
  assert.equal(again.lock, 2);
  const path = join(slot.folder, 'lock.2');
  fs.writeFileSync(path, '{"pid');
  assert.equal(take(root, slot.producer), undefined);
  fs.utimesSync(path, 1, 1);
  assert.equal(take(root, slot.producer).lock, 3);
});

test('Of many that take a stale slot at once, one has it', async () => {
  const root = folder();
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { take } = require(workerData.slots);
    parentPort.on('message', ({ root, producer }) => parentPort.postMessage(take(root, producer) !== undefined));`;
  const file = fileURLToPath(new URL('../dist/cjs/slots.js', import.meta.url));
  const takers = range(4).map(() => new Worker(code, { eval: true, workerData: { slots: file } }));
  for (let round = 0; round < (thorough ? 300 : 40); round++) {
    const slot = makeSlot(root);
    fs.writeFileSync(join(slot.folder, 'lock.1'), JSON.stringify({ ...self(), pid: 2 ** 22 + 1 }));
    const answers = takers.map((taker) => new Promise((resolve) => taker.once('message', resolve)));
    takers.forEach((taker) => taker.postMessage({ root, producer: slot.producer }));
    assert.equal((await Promise.all(answers)).filter(Boolean).length, 1);
  }
  await Promise.all(takers.map((taker) => taker.terminate()));
});

test('A slow process that makes an old lock has nothing by it', () => {
  const root = folder();
  const slot = makeSlot(root);
  release(slot);
  const { linkSync } = fsModule;
  fsModule.linkSync = (...args) => {
    // Meanwhile two others had the slot, and the lock that is being made was there and is gone.
    fsModule.linkSync = linkSync;
    fs.writeFileSync(join(slot.folder, 'lock.3'), JSON.stringify(self()));
    linkSync(...args);
  };
  assert.equal(take(root, slot.producer), undefined);
  assert.equal(fsModule.linkSync, linkSync);
  assert.deepEqual(fs.readdirSync(slot.folder).sort(), ['lock.1', 'lock.3']);
});

test('Each thread of a process has its own slot', async () => {
  const directory = folder();
  const store = openStore({ directory });
  store.append('{}');
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const store = require(workerData.file).openStore({ directory: workerData.directory });
    store.append('{}');
    store.close(100).then(() => parentPort.postMessage(store.counts.total()));`;
  const file = fileURLToPath(new URL('../dist/cjs/index.js', import.meta.url));
  const thread = new Worker(code, { eval: true, workerData: { file, directory } });
  assert.deepEqual(await new Promise((resolve) => thread.once('message', resolve)), {});
  assert.equal(slots(directory).length, 2);
  await store.close(0);
});

test('A root that others can write to is refused, in words', { skip: process.platform === 'win32' }, () => {
  const root = folder();
  fs.chmodSync(root, 0o777);
  assert.throws(() => openRoot(root), { name: 'FolderError', message: /chmod go-w/ });
  fs.chmodSync(root, 0o700);
  assert.match(takeAny(root).producer, /^js-[0-9a-f]{16}$/);
});

test('A slot whose progress cannot be read is sent from its beginning; an empty one is not used again', async () => {
  const directory = folder();
  const empty = makeSlot(directory);
  fs.writeFileSync(join(empty.folder, 'state.json'), '{"version":1,"tra');
  release(empty);
  const store = openStore({ directory });
  store.append('{}');
  assert.notEqual(store.producer, empty.producer);
  assert.equal(slots(directory).length, 1);
  const { producer } = store;
  await store.close(0);
  fs.writeFileSync(join(directory, producer, 'state.json'), 'null');
  const server = await new Server().listen();
  const next = openStore({ directory, url: server.url, batchSeconds: 0.01 });
  next.append('{"b":1}');
  assert.equal(next.producer, producer);
  assert.equal(await next.flush(20_000), true);
  assert.deepEqual(server.entries, ['{}', '{"b":1}']);
  await next.close(0);
});
