// Options of a file, a call and transports: what is none is told with the name that is meant.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { folder, part, Server } from './harness.mjs';

const { clientOptions } = part('client-options');
const { openStore } = part('log-store');
const { configuration, settings } = part('options');

function file(told) {
  const path = join(folder(), 'client.json');
  writeFileSync(path, JSON.stringify(told));
  return path;
}

test('The file may be named by the call, which comes before the environment', () => {
  const [one, other] = [file({ service: 'one', level: 'ERROR' }), file({ service: 'other' })];
  assert.equal(settings({ config: one }).service, 'one');
  assert.equal(clientOptions({ config: one }, { SENTINEL_CONFIG: other }).level, 'ERROR');
  assert.deepEqual(configuration({ SENTINEL_CONFIG: other }, one), { service: 'one', level: 'ERROR' });
});

test('A name of the file that is none is refused with the nearest one; what only Python has is passed over', () => {
  const load = (told) => configuration({ SENTINEL_CONFIG: file(told) });
  assert.throws(() => load({ batch_secnds: 1 }), { name: 'OptionError', message: /"batch_secnds"; did you mean "batch_seconds"/ });
  assert.throws(() => load({ diskMb: 1 }), { message: /did you mean "disk_mb"/ });
  assert.throws(() => load({ serializers: {} }), { name: 'OptionError' });
  assert.throws(() => load({ qqq: 1 }), { message: /there are .*disk_mb/ });
  assert.ok(load({ $schema: 'x', frame_variables: 3, source: true, name: 'shop' }));
});

test('A value of the file is checked also where another counts, and shown by its name, not itself', () => {
  assert.throws(() => settings({ diskMb: 9 }, { disk_mb: 0 }, {}), { name: 'OptionError', message: /^disk_mb has to be a whole number/ });
  assert.throws(() => settings({}, {}, { SENTINEL_FSYNC: 'hunter2' }), { message: /^SENTINEL_FSYNC has to be one of [^2]*$/ });
  assert.throws(() => openStore({ disc_mb: 1 }), { message: /did you mean "diskMb"/ });
});

test('A transport that takes no such thing says what it takes; another server has options of its own', async () => {
  const fails = (transport, message) => assert.throws(() => openStore({ directory: folder(), transports: [transport] }), { message });
  fails({ kind: 'file', pathh: 'x' }, /file takes no pathh; did you mean "path"/);
  fails({ type: 'file', path: 'x' }, /no transport of the kind undefined; there are http/);
  fails({ kind: 'constructor' }, /no transport of the kind constructor/);
  const [one, other] = [await new Server().listen(), await new Server().listen()];
  const second = { kind: 'http', name: 'second', url: other.url, compression: 'none' };
  const store = openStore({ url: one.url, directory: folder(), transports: ['http', second] });
  store.append(JSON.stringify({ pad: 'x'.repeat(600) }));
  assert.equal(await store.flush(20_000), true);
  assert.deepEqual(one.entries, other.entries);
  assert.deepEqual([one, other].map(({ requests }) => requests[0].headers['content-encoding']), ['gzip', undefined]);
  await store.close(1000);
});
