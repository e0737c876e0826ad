// The examples of README.md run, and log what it says that they log.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const here = fileURLToPath(new URL('.', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'sentinel-readme-'));
after(() => rmSync(root, { recursive: true, force: true }));

const examples = [...readme.matchAll(/```js\n([\s\S]*?)```\n(?:```json\n([\s\S]*?)```)?/g)].map(([, code, told]) => ({ code, told }));

/** What is expected of an entry: JSON, in which an expression between slashes may stand for a text. */
function expected(told) {
  return Object.entries(JSON.parse(told.replace(/: (\/.*\/)/g, (_, expression) => `: ${JSON.stringify(expression)}`)));
}

function fits(entry, [name, value]) {
  if (typeof value === 'string' && /^\/.+\/$/.test(value)) return new RegExp(value.slice(1, -1)).test(entry[name]);
  return JSON.stringify(entry[name]) === JSON.stringify(value);
}

function run(code, environment) {
  return new Promise((done) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: here, env: { ...process.env, ...environment } });
    let told = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (told += data));
    child.on('close', (status) => done({ status, told }));
  });
}

test('there are examples', () => {
  assert.ok(examples.length >= 10);
  assert.ok(examples.filter(({ told }) => told).length >= 9);
});

for (const [at, { code, told }] of examples.entries()) {
  test(`example ${at} runs and logs what the README says`, async () => {
    const sent = join(root, `sent-${at}.ndjson`);
    const config = join(root, `config-${at}.json`);
    writeFileSync(config, JSON.stringify({ service: 'checkout', directory: join(root, `wal-${at}`), exit_seconds: 30, transports: [{ kind: 'file', path: sent }] }));
    const { status, told: printed } = await run(code, { SENTINEL_CONFIG: config });
    assert.equal(status, 0, printed);
    if (told === undefined) return;
    const entries = readFileSync(sent, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
    const members = expected(told);
    assert.ok(entries.some((entry) => members.every((each) => fits(entry, each))), `${told}\n${entries.map((each) => JSON.stringify(each)).join('\n')}`);
  });
}
