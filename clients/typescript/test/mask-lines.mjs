// Masks entries: a line of JSON from standard input, a line to standard output. `node mask-lines.mjs KEY_FILE`
// For tests/clients/test_privacy_typescript.py, which compares this client with the Python one.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { Policy } = require('../dist/cjs/privacy/policy.js');
const { Privacy } = require('../dist/cjs/privacy/privacy.js');

const privacy = new Privacy(Policy.of({ keyFile: process.argv[2], detectors: { random: 'mask' } }));
const lines = readFileSync(0, 'utf8').trim().split('\n');
process.stdout.write(lines.map((line) => `${privacy.line(line, true)}\n`).join(''));
