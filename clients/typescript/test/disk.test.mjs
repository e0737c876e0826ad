// The write-ahead log on disks that fail, fill up and lose what they were given.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { entriesOf, folder, part, slots } from './harness.mjs';

const { Budget } = part('budget');
const { Counts } = part('counts');
const { DISK } = part('disk');
const { crc32, crc32c } = part('checksums');
const { FRAME_BYTES, header, nextFrame, parseHeader, scan, seal } = part('frames');
const { openStore } = part('log-store');
const { recover, segmentFirsts, segmentPath } = part('segments');
const { makeShared, shareRange } = part('shared');
const { Missing, Reader } = part('wal-reader');

const line = (number) => JSON.stringify({ number, pad: 'x'.repeat(number % 50) });
const range = (count, first = 0) => Array.from({ length: count }, (_, place) => first + place);
const thorough = Boolean(process.env.SENTINEL_THOROUGH);

function failure(code) {
  return Object.assign(new Error(code), { code });
}

/** A disk whose calls are counted; `fault(call, number, pass)` may do something else than pass a call on. */
function failing(fault) {
  let number = 0;
  const wrapped = (call) => (...args) => fault(call, number++, () => DISK[call](...args), args);
  return Object.fromEntries(Object.keys(DISK).map((call) => [call, wrapped(call)]));
}

function segment(first, entries) {
  const frames = entries.map((entry, place) => {
    const frame = Buffer.alloc(FRAME_BYTES + Buffer.byteLength(entry));
    frame.write(entry, FRAME_BYTES);
    seal(frame, 0, Buffer.byteLength(entry), first + place);
    return frame;
  });
  return Buffer.concat([header(first, 0n), ...frames]);
}

/** Read a slot's folder as the worker does. */
function readAll(path, { from = 0, limit, inherited = limit } = {}) {
  let lost = 0;
  const reader = new Reader(path, inherited, new Missing((by) => (lost += by)));
  const run = reader.read(from, Infinity, Infinity, limit);
  return { run, lost, entries: run.entries.map(String) };
}

test('The checksums are those of the standards', () => {
  const check = Buffer.from('123456789');
  assert.equal(crc32c(check, 0, 9), 0xe3069283);
  assert.equal(crc32(check, 0, 9), 0xcbf43926);
  const zeros = Buffer.alloc(32);
  assert.equal(crc32c(zeros, 0, 32), 0x8a9136aa); // RFC 3720, B.4
});

test('Each first failure of a disk, once or for ever, loses nothing that memory can hold', async () => {
  const codes = ['ENOSPC', 'EIO', 'short'];
  for (const code of codes) {
    for (let at = 0; at < 40; at += thorough ? 1 : 3) {
      for (const forEver of [false, true]) {
        let healed = false;
        const disk = failing((call, number, pass, args) => {
          const now = !healed && (forEver ? number >= at : number === at);
          if (!now || call === 'close') return pass();
          if (code === 'short' && call === 'write') return DISK.write(args[0], args[1], args[2], Math.min(args[3], 3));
          if (code === 'short') return pass();
          if (call === 'write' && args[3] > 4) DISK.write(args[0], args[1], args[2], 4);
          throw failure(code);
        });
        const directory = folder();
        const store = openStore({ directory, segmentMb: 0.0005, fsync: 'never' }, disk);
        for (const number of range(30)) assert.ok(store.append(line(number)) >= 0);
        healed = true;
        assert.equal(await store.flush(100), true);
        await store.close(0);
        const path = join(directory, slots(directory)[0]);
        const { entries, lost } = readAll(path, { limit: 30 });
        assert.deepEqual(entries, range(30).map(line), `${code} at ${at}, for ever: ${forEver}`);
        assert.equal(lost, 0);
        // After a single fault nothing broken is left between frames: what was half written was cut away.
        if (!forEver) assert.deepEqual(entriesOf(directory).map(({ entry }) => entry), range(30).map(line));
      }
    }
  }
});

test('What neither disk nor memory takes is dropped and counted, and what comes later is taken again', async () => {
  let full = false;
  const disk = failing((call, _, pass) => {
    if (full && call === 'write') throw failure('ENOSPC');
    return pass();
  });
  const directory = folder();
  const store = openStore({ directory, memoryKb: 1 }, disk);
  assert.equal(store.append(line(0)), 0);
  full = true;
  const kept = range(100, 1).filter((number) => store.append(line(number)) >= 0);
  assert.equal(store.stats().bridged, kept.length);
  assert.equal(store.stats().counts.disk, 100 - kept.length);
  assert.ok(store.stats().diskErrors.ENOSPC > 0);
  full = false;
  assert.equal(await store.flush(100), true);
  assert.equal(store.append(line(999)), kept.length + 1);
  assert.deepEqual(entriesOf(directory).map(({ entry }) => entry), [0, ...kept, 999].map(line));
  await store.close(0);
});

test('A folder that cannot be made costs nothing but the entries that memory cannot hold', async () => {
  const root = join(folder(), 'file');
  fs.writeFileSync(root, '');
  const store = openStore({ directory: join(root, 'below') });
  assert.equal(store.append(line(0)), 0);
  assert.equal(store.append(line(1)), 1);
  fs.rmSync(root);
  assert.equal(await store.flush(100), true);
  assert.deepEqual(entriesOf(join(root, 'below')).map(({ sequence }) => sequence), [0, 1]);
  await store.close(0);
});

test('A sync that fails is not asked again: a new segment begins', async () => {
  let broken = false;
  const disk = failing((call, _, pass) => {
    if (call === 'sync' && broken) throw failure('EIO');
    return pass();
  });
  const directory = folder();
  const store = openStore({ directory, fsync: 'always' }, disk);
  store.append(line(0));
  broken = true;
  store.append(line(1));
  broken = false;
  store.append(line(2));
  const names = fs.readdirSync(join(directory, slots(directory)[0])).filter((name) => name.endsWith('.wal'));
  assert.deepEqual(names.sort(), ['0000000000000000.wal', '0000000000000002.wal']);
  assert.equal(store.stats().diskErrors.EIO, 1);
  await store.close(0);
});

test('At the disk budget the oldest entries go, or the newest, or the call waits within its bound', async () => {
  const small = { diskMb: 0.02, segmentMb: 0.004, blockSeconds: 0.05 };
  const size = (directory) => {
    const path = join(directory, slots(directory)[0]);
    return fs.readdirSync(path).reduce((sum, name) => sum + (name.endsWith('.wal') ? fs.statSync(join(path, name)).size : 0), 0);
  };
  for (const whenFull of ['drop_oldest', 'drop_newest', 'block']) {
    const directory = folder();
    const store = openStore({ directory, whenFull, ...small });
    const taken = range(1000).filter((number) => store.append(line(number)) >= 0);
    const left = entriesOf(directory).map(({ sequence }) => sequence);
    assert.ok(size(directory) <= 0.02 * 2 ** 20);
    if (whenFull === 'drop_oldest') {
      assert.equal(taken.length, 1000);
      assert.equal(left.at(-1), 999);
      assert.equal(store.stats().counts.evicted, 1000 - left.length);
    } else {
      assert.deepEqual(left, range(taken.length));
      assert.equal(store.stats().counts.full, 1000 - taken.length);
    }
    await store.close(0);
  }
});

test('Segments of which a transport sends entries now are not evicted: the next ones go', () => {
  const path = folder();
  const segments = [0, 10, 20, 30].map((first) => ({ first, bytes: 100 }));
  for (const { first } of segments) fs.writeFileSync(segmentPath(path, first), '');
  const [shared, counts] = [makeShared(), new Counts()];
  shareRange(shared, 1, { first: 5, count: 10 });
  const options = { maxBytes: 400, whenFull: 'drop_oldest', blockMs: 0 };
  const budget = new Budget(path, segments, 0, options, shared, counts);
  assert.equal(budget.room(100, true), true);
  assert.deepEqual(segmentFirsts(path), [0, 10, 30]);
  assert.deepEqual(counts.total(), { evicted: 10 });
  assert.equal(budget.room(200, true), false);
  shareRange(shared, 1, undefined);
  assert.equal(budget.room(200, true), true);
  assert.deepEqual(segmentFirsts(path), [10, 30]);
});

test('A torn tail is cut away at every byte, and the numbers go on behind the last whole frame', () => {
  const bytes = segment(5, [line(5), line(6), line(7)]);
  const ends = scan(bytes, 5).frames.map(({ end }) => end);
  for (let length = 0; length < bytes.length; length++) {
    const path = folder();
    const file = join(path, '0000000000000005.wal');
    fs.writeFileSync(file, bytes.subarray(0, length));
    const whole = ends.filter((end) => end <= length).length;
    const { next, segments } = recover(path, { version: 1, transports: {} });
    assert.equal(next, 5 + whole);
    assert.equal(fs.existsSync(file), whole > 0);
    assert.equal(segments.length, whole > 0 ? 1 : 0);
    if (whole > 0) assert.equal(fs.statSync(file).size, ends[whole - 1]);
  }
});

test('A number that was promised to a server is not used again, whatever the disk lost', () => {
  const path = folder();
  fs.writeFileSync(join(path, '0000000000000000.wal'), segment(0, [line(0)]));
  const transports = { http: { acknowledged: 3, sending: { first: 3, count: 4 } }, file: { acknowledged: 1 } };
  assert.equal(recover(path, { version: 1, transports }).next, 7);
});

test('Any flipped bit of a segment is found, costs one entry at most, and is counted', () => {
  const entries = range(4).map(line);
  const bytes = segment(0, entries);
  const path = folder();
  fs.writeFileSync(join(path, '0000000000000004.wal'), segment(4, ['{}']));
  for (let bit = 0; bit < bytes.length * 8; bit += thorough ? 1 : 7) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    fs.writeFileSync(join(path, '0000000000000000.wal'), flipped);
    const found = readAll(path, { limit: 5 });
    const missing = bit >= 256 ? 1 : 0; // a header's loss is made up for by the segment's name
    assert.equal(found.lost, missing, `bit ${bit}`);
    assert.equal(found.entries.length, 5 - missing, `bit ${bit}`);
    assert.ok(found.entries.every((entry) => entries.includes(entry) || entry === '{}'), `bit ${bit}`);
    assert.equal(found.run.next, 5);
  }
});

test('Both kinds of checksum are read', () => {
  const bytes = segment(9, ['{"a":1}']);
  bytes[4] = 2;
  bytes.writeUInt32BE(crc32(bytes, 0, 28), 28);
  bytes.writeUInt32BE(crc32(bytes, 36, bytes.length), 32);
  assert.deepEqual(parseHeader(bytes), { kind: 2, first: 9, made: 0n });
  assert.equal(scan(bytes, 9).frames.length, 1);
});

test('Bytes that are made to look like frames cost time in proportion to their number only', () => {
  const hostile = Buffer.alloc(1 << 20);
  for (let at = 0; at + 17 <= hostile.length; at += 17) hostile.writeUInt32BE(60_000, at + 4);
  let work = 0;
  const counting = (_, start, end) => ((work += end - start), 1);
  assert.equal(nextFrame(hostile, 0, counting, 0), undefined);
  assert.ok(work <= 17 * hostile.length);
});

test('A range is read again as it was begun, less what is gone', () => {
  const path = folder();
  fs.writeFileSync(join(path, '0000000000000000.wal'), segment(0, range(5).map(line)));
  fs.writeFileSync(join(path, '0000000000000008.wal'), segment(8, range(5, 8).map(line)));
  const { run, entries } = readAll(path, { from: 2, limit: 10, inherited: 0 });
  assert.deepEqual(entries, [2, 3, 4, 8, 9].map(line));
  assert.deepEqual([run.first, run.next], [2, 10]);
  assert.equal(readAll(path, { from: 2, limit: 10, inherited: 13 }).lost, 3);
});
