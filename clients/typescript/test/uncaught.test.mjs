// What ends a process is logged, and Node does with it what it does without us.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = mkdtempSync(join(tmpdir(), 'sentinel-uncaught-'));
after(() => rmSync(root, { recursive: true, force: true }));
const here = fileURLToPath(new URL('.', import.meta.url));
let runs = 0;

/** Run a program that has installed the client; return how it ended and what was sent. */
function run(program, ...flags) {
  runs += 1;
  const sent = join(root, `sent-${runs}.ndjson`);
  const options = JSON.stringify({ service: 'shop', directory: join(root, `wal-${runs}`), transports: [{ kind: 'file', path: sent }] });
  const begin = `import { install, getLogger, close } from '@sentinel/client'; const log = install(${options});`;
  const done = spawnSync(process.execPath, [...flags, '--input-type=module', '-e', `${begin} ${program}`], { cwd: here, encoding: 'utf8' });
  let text = '';
  try {
    text = readFileSync(sent, 'utf8');
  } catch {
    // nothing was sent
  }
  return { done, entries: text.split('\n').filter(Boolean).map((line) => JSON.parse(line)) };
}

test('an exception that nobody catches is the last entry, sent before the process ends', () => {
  const { done, entries } = run("log.info('begins'); setTimeout(() => { throw new TypeError('no price') });");
  assert.equal(done.status, 1);
  assert.match(done.stderr, /TypeError: no price/);
  assert.equal(entries.length, 2);
  const { level, logger, message, exception, origin } = entries[1];
  assert.deepEqual([level, logger, message, origin], ['CRITICAL', 'process', 'an exception was not caught', 'uncaughtException']);
  assert.deepEqual([exception.type, exception.message], ['TypeError', 'no price']);
});

test('what Node does without us with what nobody handles is what these tests expect', () => {
  const status = (program, ...flags) => spawnSync(process.execPath, [...flags, '-e', program]).status;
  assert.deepEqual([status('throw 1'), status('Promise.reject(1)', '--unhandled-rejections=warn')], [1, 0]);
});

test('what is thrown and is no error is told, too', () => {
  const { entries } = run("log.info('begins'); setTimeout(() => { throw { status: 502 } }, 20);");
  assert.deepEqual(entries[1].exception.causes[0], { type: 'object', message: '{"status":502}', frames: [] });
});

test('a rejection that Node raises is told once', () => {
  const { done, entries } = run("log.info('begins'); setTimeout(() => Promise.reject(new RangeError('far')), 20);");
  assert.equal(done.status, 1);
  assert.deepEqual(entries.slice(1).map((entry) => [entry.level, entry.origin, entry.exception.type]), [['CRITICAL', 'unhandledRejection', 'RangeError']]);
});

test('a rejection that Node only warns of is told, and the process goes on', () => {
  const { done, entries } = run("Promise.reject(new RangeError('far')); setTimeout(() => console.log('goes on'), 50);", '--unhandled-rejections=warn');
  assert.equal(done.status, 0);
  assert.match(done.stdout, /goes on/);
  assert.equal(entries.length, 1);
  assert.match(entries[0].message, /nobody handled it/);
});

test('a rejection that the program handles by a listener is told, and is raised again once that is gone', () => {
  const { done, entries } = run(`
    const own = () => console.log('handled');
    process.on('unhandledRejection', own);
    Promise.reject(new Error('first'));
    setTimeout(() => { process.off('unhandledRejection', own); setTimeout(() => Promise.reject(new Error('second')), 10); }, 20);
  `);
  assert.equal(done.status, 1);
  assert.match(done.stdout, /handled/);
  assert.deepEqual(entries.map((entry) => entry.exception.message), ['first', 'second']);
});

test('a process that ends by itself has sent what it logged', () => {
  const { done, entries } = run("log.info('one', 'too many'); for (let at = 0; at < 3; at += 1) log.info('same');");
  assert.equal(done.status, 0);
  assert.deepEqual(entries.map((entry) => entry.message), ['one', 'same', 'same', 'same']);
});
