// What a call of a logger costs its caller, in microseconds: this client against pino and winston, in one run.
//
//     node bench/bench.mjs [--rounds 40] [--chunks 25]
//
// Prints one line of JSON. Each logger writes entries with two fields to a file on the same disk: this client with
// its write-ahead log (fsync `interval`) and masking on, pino with a synchronous destination, winston with its file
// transport and JSON with a time. Rounds are interleaved, the order turns. A sample is ten calls in a row; between
// samples the loop runs, so that what a logger has put off (winston) is done and not measured, as in a server
// that logs a few entries a request. `write` is the floor: one `fs.writeSync` of as many bytes to an open file.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
const { Client } = require('../dist/cjs/index.js');
const { destination } = require('../dist/cjs/pino.js');
const { Privacy } = require('../dist/cjs/privacy/privacy.js');
const { Policy } = require('../dist/cjs/privacy/policy.js');
const pino = require('pino');
const winston = require('winston');

const CALLS = 10;
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '40' }, chunks: { type: 'string', default: '25' } } });
const rounds = Number(values.rounds);
const chunks = Number(values.chunks);
const root = fs.mkdtempSync(join(tmpdir(), 'sentinel-bench-'));

const client = new Client({ service: 'checkout', directory: join(root, 'wal'), transports: [] });
const log = client.logger('checkout');
const synchronous = pino({ base: undefined, name: 'checkout' }, pino.destination({ dest: join(root, 'pino.log'), sync: true }));
const through = pino({ base: undefined, name: 'checkout' }, destination(new Client({ directory: join(root, 'pino'), transports: [] })));
const files = winston.createLogger({
  format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
  transports: [new winston.transports.File({ filename: join(root, 'winston.log') })],
});
const floor = fs.openSync(join(root, 'floor.log'), 'a');
const bytes = Buffer.from(`${JSON.stringify({ time: 1764000000.123, level: 'INFO', logger: 'checkout', message: 'paid the order', order: 123456, customer: 'c-991' })}${' '.repeat(16)}`);

const PEERS = {
  sentinel: (order) => log.info({ order, customer: 'c-991' }, 'paid the order'),
  pino_sync: (order) => synchronous.info({ order, customer: 'c-991' }, 'paid the order'),
  winston_file: (order) => files.info('paid the order', { order, customer: 'c-991' }),
  pino_to_sentinel: (order) => through.info({ order, customer: 'c-991' }, 'paid the order'),
  sentinel_below_level: (order) => log.debug({ order, customer: 'c-991' }, 'paid the order'),
  write: () => fs.writeSync(floor, bytes, 0, bytes.length),
};

const idle = () => new Promise((done) => setImmediate(done));

/** Microseconds a call of each sample. */
async function round(call, samples) {
  for (let chunk = 0; chunk < chunks; chunk += 1) {
    const began = process.hrtime.bigint();
    for (let order = 0; order < CALLS; order += 1) call(100_000 + order);
    samples.push(Number(process.hrtime.bigint() - began) / 1000 / CALLS);
    await idle();
  }
  await idle();
}

/** Microseconds of the gate for a line with nothing to hide, the best of several rounds. */
function gate() {
  const privacy = new Privacy(Policy.of({}));
  const line = '{"time":1764000000.123,"level":"INFO","logger":"checkout.payments","message":"the payment of the order was accepted by the processor","order":123456,"currency":"EUR","attempt":1,"duration_ms":12.25}';
  let best = Infinity;
  for (let turn = 0; turn < 20; turn += 1) {
    const began = process.hrtime.bigint();
    for (let count = 0; count < 2_000; count += 1) privacy.line(line, false);
    best = Math.min(best, Number(process.hrtime.bigint() - began) / 1000 / 2_000);
  }
  return { bytes: line.length, us: rounded(best) };
}

function rounded(value) {
  return Math.round(value * 1000) / 1000;
}

function figures(samples) {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part) => rounded(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]);
  return { median_us: at(0.5), p99_us: at(0.99), min_us: at(0) };
}

const names = Object.keys(PEERS);
const samples = Object.fromEntries(names.map((name) => [name, []]));
for (const name of names) for (let warm = 0; warm < 20; warm += 1) await round(PEERS[name], []);
for (let turn = 0; turn < rounds; turn += 1) {
  for (let place = 0; place < names.length; place += 1) {
    const name = names[(turn + place) % names.length];
    await round(PEERS[name], samples[name]);
  }
}
const told = Object.fromEntries(names.map((name) => [name, figures(samples[name])]));
const ratio = (one, other) => rounded(told[one].median_us / told[other].median_us);
const dropped = client.stats().counts;
await client.close();
fs.rmSync(root, { recursive: true, force: true });
const versions = { node: process.version, pino: require('pino/package.json').version, winston: require('winston/package.json').version };
const ratios = { to_pino_sync: ratio('sentinel', 'pino_sync'), to_winston_file: ratio('sentinel', 'winston_file'), to_write: ratio('sentinel', 'write') };
process.stdout.write(`${JSON.stringify({ versions, calls: rounds * chunks * CALLS, ...told, ratios, gate: gate(), dropped })}\n`);
process.exit(0); // winston's files have no end that can be waited for
