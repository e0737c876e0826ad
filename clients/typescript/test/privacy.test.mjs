// What policy says must not leave is hidden before it is on disk, as the Python client hides it.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Client, FieldKeys, NotDecrypted } from '@sentinel/client';
import { capture } from '@sentinel/client/testing';

const require = createRequire(import.meta.url);
const { Privacy } = require('../dist/cjs/privacy/privacy.js');
const { Policy } = require('../dist/cjs/privacy/policy.js');
const { Scanner } = require('../dist/cjs/privacy/scanner.js');
const { TABLE, kindOfName } = require('../dist/cjs/privacy/table.js');
const { Tokens } = require('../dist/cjs/privacy/tokens.js');
const { Recipient, SharedKey } = require('../dist/cjs/privacy/fields.js');
const { parsed, written } = require('../dist/cjs/privacy/values.js');
const { Signer } = require('../dist/cjs/signing.js');

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8').replaceAll('¦', ''));
const VECTORS = read('../../vectors/privacy-v1.json');
const DETECTORS = read('../../detectors.json').detectors;

const root = mkdtempSync(join(tmpdir(), 'sentinel-privacy-'));
after(() => rmSync(root, { recursive: true, force: true }));

const keyFile = join(root, 'tokens.key');
writeFileSync(keyFile, VECTORS.token_key);
let files = 0;

function file(content) {
  files += 1;
  const path = join(root, `file-${files}`);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

test('tokens are those of the vectors', () => {
  const tokens = new Tokens(Buffer.from(VECTORS.token_key));
  for (const { kind, value, token } of VECTORS.tokens) assert.equal(tokens.token(kind, value), token, kind);
});

test('names have the kinds of the vectors', () => {
  for (const [name, kind] of Object.entries(VECTORS.names)) assert.equal(kindOfName(name), kind, name);
});

/** Halves of a pair of surrogates are no text: this client writes U+FFFD for one, in whatever it writes. */
const whole = (value) => JSON.parse(JSON.stringify(value), (_, each) => (typeof each === 'string' ? each.toWellFormed() : each));

for (const [at, { policy, entry, masked: told }] of VECTORS.entries.entries()) {
  test(`entry ${at} of the vectors is hidden as it says, by the walk and by a client that logs it`, () => {
    const masked = whole(told);
    const privacy = new Privacy(Policy.of({ ...policy, key_file: keyFile }));
    assert.deepEqual(whole(JSON.parse(privacy.line(JSON.stringify(entry)))), masked);
    const captured = capture({ privacy: { ...policy, key_file: keyFile } });
    const { message = '', ...fields } = entry;
    captured.log.info(fields, message);
    const { time: _, level: __, logger: ___, message: logged, ...others } = captured.entries[0];
    assert.deepEqual({ ...('message' in entry ? { message: logged } : {}), ...others }, masked);
  });
}

for (const { key_id: id, master_key: master, recipient_private: recipient, ephemeral_private: ephemeral, path, value, nonce, text } of VECTORS.fields) {
  test(`the field ${path} of the vectors is encrypted and decrypted as it says (${text.slice(0, 2)})`, () => {
    const bytes = (hex) => Buffer.from(hex, 'hex');
    const key = master === undefined ? recipientOf(id, recipient) : new SharedKey(id, bytes(master));
    if (ephemeral !== undefined) key.begin(bytes(ephemeral));
    const keys = new FieldKeys(new Map([[id, key]]), id);
    const made = keys.encrypt(path, parsed(JSON.stringify(value)), () => bytes(nonce));
    assert.equal(made.get('$enc'), text);
    assert.deepEqual(keys.decrypt(path, text), value);
    assert.throws(() => keys.decrypt(`${path}x`, text), NotDecrypted);
  });
}

function recipientOf(id, hex) {
  const { createPrivateKey, createPublicKey } = require('node:crypto');
  const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), Buffer.from(hex, 'hex')]);
  const own = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return new Recipient(id, createPublicKey(own), own);
}

test('batches are signed as the vectors say', () => {
  const { createPrivateKey } = require('node:crypto');
  for (const { private_key: hex, producer, first, count, entries, headers } of VECTORS.signatures) {
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(hex, 'hex')]);
    const pem = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' });
    const signer = Signer.fromFile(file(pem));
    assert.deepEqual(signer.headers({ producer, first, count, entries: entries.map((each) => Buffer.from(each)) }), headers);
  }
});

test('each row of the table finds its examples and not the others', () => {
  for (const { id, match, no_match: others } of DETECTORS) {
    const scanner = new Scanner(TABLE.filter((each) => each.id === id));
    for (const text of match) assert.ok(scanner.find(text).length > 0, `${id}: ${text}`);
    for (const text of others) assert.deepEqual(scanner.find(text), [], `${id}: ${text}`);
  }
});

/** Texts that have something to hide, in surroundings that hide it best, and texts that have not. */
function* texts() {
  const around = [(text) => text, (text) => `\n${text}\t`, (text) => `"${text}"`, (text) => `a\\${text}`, (text) => `é${text}€`,];
  for (const { match, no_match: others } of DETECTORS) {
    for (const text of [...match, ...others]) for (const each of around) yield each(text);
  }
}

test('the gate never says that a line is clean which the walk would change', () => {
  const privacy = new Privacy(Policy.of({ keyFile, detectors: { random: 'mask' } }));
  let tried = 0;
  let passed = 0;
  for (const text of texts()) {
    for (const entry of [{ message: text }, { message: 'x', [text]: 1 }, { list: [text, ['a', text]] }, { number: text.replace(/[^0-9]/g, '') || '0' }]) {
      const bare = JSON.stringify(entry);
      const line = tried % 2 === 0 ? bare : `{"time":1764000000.123,"level":"INFO","logger":"a"${bare.replace('{', ',')}`;
      const names = Object.keys(entry).reduce((all, name) => all | privacy.telling(name), 0);
      const gated = privacy.line(line, (names & 1) !== 0 || Array.isArray(entry.list));
      assert.equal(gated, privacy.line(line, true));
      tried += 1;
      if (privacy.scanner.clean(line)) passed += 1;
    }
  }
  assert.ok(passed > 100, 'the gate lets nothing through');
});

test('what a client logs is hidden whatever way it comes: bindings, context, errors, prefixes, names in lists', async () => {
  const { runWith } = await import('@sentinel/client');
  const captured = capture({ privacy: { keyFile } });
  const { log } = captured;
  log.child({ apiToken: 'hunter-22x' }).info({ order: 7 }, 'x');
  log.child({ a: 1 }, { msgPrefix: 'kim@example.org ' }).info('x');
  runWith({ password: 'hunter-22x' }, () => log.info('x'));
  runWith({ note: 'kim@example.org' }, () => log.info({ order: 7 }, 'x'));
  log.error(new Error('mail kim@example.org', { cause: new Error('password=hunter-22x') }));
  log.info({ argv: ['mysql', '--password', 'hunter-22x'] }, 'x');
  log.info({ headers: [['authorization', 'hunter-22x']] }, 'x');
  log.info({ key: 'password', value: 'hunter-22x' }, 'x');
  log.info({ body: '{"pin": "hunter-22x"}' }, 'x');
  log.info({ list: [{ secret: ['hunter-22x'] }] }, 'x');
  log.info('password=%s', 'hunter-22x');
  captured.client.logger('kim@example.org').info('x');
  assert.equal(captured.entries.length, 12);
  for (const line of captured.store.lines) {
    assert.doesNotMatch(line, /hunter-22x|kim@/);
    assert.match(line, /\[\[/);
  }
});

test('an entry with nothing to hide is written as it was made, numbers of any size included', () => {
  const privacy = new Privacy(Policy.of({ keyFile }));
  const line = '{"big":123456789012345678901234567890,"small":1e-7,"2":1,"1":2,"text":"\\u0001é","password":""}';
  assert.equal(privacy.line(line, true), line);
  const hidden = privacy.line(line.replace('"password":""', '"password":"x"'), true);
  assert.match(hidden, /^\{"big":123456789012345678901234567890,"small":1e-7,"2":1,"1":2,"text":"\\u0001é","password":"\[\[password:/);
});

test('JSON is read as it is written, and what is none is refused', () => {
  for (const text of ['{}', '[]', '"a\\"b\\\\"', '-0', '1.5e+30', '[true,false,null,{"a":[{}]}]', '"\\u00e9é😀"']) {
    assert.deepEqual(JSON.parse(written(parsed(text))), JSON.parse(text));
  }
  for (const text of ['', '{', '[1,]', '{"a"}', '01', '1.', 'nul', '"\n"', '"\\x"', '[1] 2', '{"a":1,}', "{'a':1}", '"open', 'NaN', '['.repeat(5000)]) {
    assert.throws(() => parsed(text), SyntaxError, text.slice(0, 20));
  }
});

test('an entry that cannot be masked is dropped and counted', () => {
  const captured = capture();
  captured.client.put(`{"password":${'['.repeat(150)}"x"${']'.repeat(150)}}`);
  captured.client.put('no entry');
  assert.equal(captured.entries.length, 0);
  assert.equal(captured.client.stats().counts.masking, 2);
});

test('hostile texts take time that grows as they do', () => {
  const privacy = new Privacy(Policy.of({ keyFile }));
  const pieces = ['a', '1', ' ', '-', '.', '@', 'a.', 'a@', '1 ', '1-', 'A1', '"', '\\', 'password', 'password=', 'key', 'token: ', '://', ':a@', '<password>', 'eyJ', 'eyJ.', '-----BEGIN ', 'authorization', '+1', '(1)', 'cookie:', 'a=', '{"a":', '[', '\\u0040', "'", '%40', 'sk', 'é'];
  const run = (piece, length) => {
    const line = JSON.stringify({ message: piece.repeat(length / piece.length) });
    const began = process.cpuUsage();
    privacy.line(line, true);
    const { user, system } = process.cpuUsage(began);
    return user + system;
  };
  for (const piece of pieces) {
    run(piece, 4_096);
    const short = Math.min(run(piece, 8_192), run(piece, 8_192), run(piece, 8_192));
    const long = Math.min(run(piece, 32_768), run(piece, 32_768), run(piece, 32_768));
    assert.ok(long < 9 * short + 20_000, `${JSON.stringify(piece)}: ${short} µs, ${long} µs for four times as much`);
  }
});

test('without a key file the key is drawn once for a root, for its owner alone', async () => {
  const directory = join(root, 'own');
  const tokenOf = async () => {
    const sent = join(root, `sent-${(files += 1)}`);
    const client = new Client({ directory, service: 'x', transports: [{ kind: 'file', path: sent }] });
    client.logger().info({ password: 'hunter2' }, 'x');
    await client.close();
    return JSON.parse(readFileSync(sent, 'utf8').trim()).password;
  };
  const first = await tokenOf();
  assert.match(first, /^\[\[password:/);
  assert.equal(await tokenOf(), first);
  assert.equal(statSync(join(directory, 'privacy.key')).mode & 0o777, 0o600);
});

test('nothing is made on disk before it is needed', () => {
  const directory = join(root, 'lazy');
  new Client({ directory, service: 'x' }).logger().debug('below the level');
  assert.equal(existsSync(directory), false);
});

test('fields are encrypted by path, for the one who holds the private key; keys are rotated', () => {
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  const recipient = file(publicKey.export({ format: 'pem', type: 'spki' }));
  const own = file(privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const shared = file('00'.repeat(32));
  const privacy = { keyFile, paths: { 'user.email': 'encrypt' }, encryption: { write: 'new', keys: { new: { recipient }, old: { file: shared } } } };
  const captured = capture({ privacy });
  captured.log.info({ user: { email: 'kim@example.org', id: 7 }, note: 'to kim@example.org' }, 'x');
  const line = captured.store.lines[0];
  assert.doesNotMatch(line, /kim@/);
  assert.match(captured.entries[0].user.email.$enc, /^x1\.new\./);
  const reader = FieldKeys.of({ keys: { new: { private: own }, old: { file: shared } } });
  assert.equal(JSON.parse(reader.open(line)).user.email, 'kim@example.org');
  const before = FieldKeys.of({ write: 'old', keys: { old: { file: shared } } }).encrypt('a', 'text');
  assert.equal(JSON.parse(reader.open(written(new Map([['a', before]])))).a, 'text');
  const moved = line.replace('"email"', '"other"');
  assert.throws(() => reader.open(moved), NotDecrypted);
  assert.throws(() => FieldKeys.of({ keys: { new: { recipient } } }).decrypt('user.email', captured.entries[0].user.email.$enc), NotDecrypted);
});

test('what is wrong with a policy is said, and no key is in what is said', () => {
  const wrong = (privacy, expected) => assert.throws(() => capture({ privacy }), { name: 'OptionError', message: expected });
  wrong({ detector: {} }, /no member "detector"/);
  wrong({ detectors: { emial: 'off' } }, /no detector and no kind "emial"/);
  wrong({ detectors: { email: 'hash' } }, /one of mask, drop, off/);
  wrong({ paths: { "a..b": "drop" } }, /is no path/);
  wrong({ paths: { a: 'encrypt' } }, /names no key/);
  wrong({ allow: ['*'] }, /more than \*/);
  wrong({ names: 'no' }, /true or false/);
  wrong({ keyFile: join(root, 'nowhere') }, /cannot be read: ENOENT/);
  wrong({ key_file: file('short') }, /under 16 bytes/);
  const key = file('not a key, and a secret one at that');
  const encryption = (source) => ({ encryption: { write: 'a', keys: { a: source } } });
  assert.throws(() => capture({ privacy: encryption({ private: key }) }), (error) => /no X25519 key/.test(error.message) && !error.message.includes('secret one') && error.cause === undefined);
  wrong(encryption({ file: file('short') }), /under 32 bytes/);
  wrong(encryption({}), /one of file, recipient and private/);
  wrong({ encryption: { write: 'b', keys: {} } }, /not among/);
});
