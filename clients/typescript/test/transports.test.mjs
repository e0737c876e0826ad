// The further transports, each against a server of the test's own or real files; and fan-out.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, createHmac, generateKeyPairSync, verify } from 'node:crypto';
import * as fs from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { folder, part, Server, until } from './harness.mjs';

const { CredentialChain, signed } = part('aws');
const { timeLeft, withFlush } = part('aws-lambda');
const { openStore } = part('log-store');
const { Backoff } = part('backoff');
const { CloudWatchTransport, rejected, spans } = part('transports/cloudwatch');
const { shown } = part('transports/console');
const { DatadogTransport } = part('transports/datadog');
const { FileTransport } = part('transports/file');

const producer = 'js-0011223344556677';
const batch = (...lines) => ({ producer, first: 0, count: lines.length, entries: lines.map((line) => Buffer.from(line)) });

/** A server that answers each request as `answer(request, body)` says: `[status, value, headers]`. */
async function answering(answer) {
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const one of request) parts.push(one);
    const [status, value, headers] = answer(request, Buffer.concat(parts));
    response.writeHead(status, headers).end(typeof value === 'string' ? value : JSON.stringify(value ?? {}));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => (server.closeAllConnections(), server.close()));
  return `http://127.0.0.1:${server.address().port}`;
}

test('Transports advance independently, and a segment stays until the slowest has done it', async () => {
  const server = await new Server().listen();
  const directory = folder();
  const path = join(folder(), 'out.ndjson');
  server.behave = () => ({ status: 503 });
  const options = { url: server.url, directory, batchSeconds: 0.01, transports: ['http', { kind: 'file', path }] };
  const store = openStore(options);
  const lines = Array.from({ length: 50 }, (_, number) => JSON.stringify({ number }));
  lines.forEach((line) => store.append(line));
  await until(() => fs.existsSync(path) && fs.readFileSync(path, 'utf8') === lines.join('\n') + '\n', 'the file');
  await until(() => store.stats().transports.file.acknowledged === 50, 'its progress');
  assert.equal(store.stats().transports.http.acknowledged, 0);
  await until(() => store.stats().transports.http.why === 'status 503', 'the failure');
  server.behave = () => undefined;
  while (!(await store.flush(500)));
  assert.deepEqual(server.entries, lines);
  assert.equal(fs.readFileSync(path, 'utf8'), lines.join('\n') + '\n');
  await store.close(1000);
});

test('A file is rotated by size, and a line that was cut off is ended', async () => {
  const path = join(folder(), 'out.ndjson');
  const file = new FileTransport('file', { kind: 'file', path, rotate_bytes: 40, keep: 2 });
  fs.writeFileSync(path, '{"cut');
  await file.send(batch('{"a":1}'));
  assert.equal(fs.readFileSync(path, 'utf8'), '{"cut\n{"a":1}\n');
  await file.send(batch('{"b":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'));
  await file.send(batch('{"c":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'));
  await file.send(batch('{"d":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'));
  assert.deepEqual(['', '.1', '.2', '.3'].map((end) => fs.existsSync(path + end)), [true, true, true, false]);
  assert.match(fs.readFileSync(`${path}.1`, 'utf8'), /"c"/);
  assert.equal(fs.statSync(path).mode & 0o777, 0o600);
  const nowhere = new FileTransport('file', { kind: 'file', path: '/dev/null/out' });
  assert.deepEqual(await nowhere.send(batch('{}')), { kind: 'later', why: 'file: ENOTDIR', after: 0 });
});

test('On the console an entry is one readable line that cannot drive the terminal', () => {
  const entry = { time: 0, level: 'INFO', logger: 'shop', message: 'paid', cart: 7, who: 'a b' };
  assert.equal(shown(Buffer.from(JSON.stringify(entry))), '1970-01-01T00:00:00.000Z INFO     shop: paid cart=7 who="a b"');
  assert.equal(shown(Buffer.from('[1]')), '[1]');
  const wild = { message: '\x1b[2J\u202e', level: '\x07', exception: { type: 'E', message: '\n' } };
  assert.doesNotMatch(shown(Buffer.from(JSON.stringify(wild))), /[\x00-\x1f\u202e]/);
  const code = `
    const { ConsoleTransport } = require(process.argv[1]);
    new ConsoleTransport('console', { kind: 'console', raw: true })
      .send({ producer: 'p', first: 0, count: 1, entries: [Buffer.from('{"a":1}')] })
      .then((outcome) => console.log(outcome.kind));`;
  const file = fileURLToPath(new URL('../dist/cjs/transports/console.js', import.meta.url));
  const done = spawnSync(process.execPath, ['-e', code, file], { encoding: 'utf8' });
  assert.deepEqual([done.stderr, done.stdout], ['{"a":1}\n', 'sent\n']);
});

test('Datadog gets logs as its intake wants them, and the key from its file', async () => {
  const keyFile = join(folder(), 'key');
  fs.writeFileSync(keyFile, 'k1\n');
  const asked = [];
  let next = [202];
  const endpoint = await answering((request, body) => (asked.push([request, JSON.parse(gunzipSync(body))]), next));
  const options = { kind: 'datadog', api_key_file: keyFile, endpoint, tags: 'env:test', hostname: 'h' };
  const datadog = new DatadogTransport('datadog', options, 'checkout');
  const entries = batch('{"time":1764000000.25,"level":"INFO","message":"paid","n":1}', 'x');
  assert.deepEqual(await datadog.send(entries, 5000), { kind: 'sent' });
  const [[request, logs]] = asked;
  assert.equal(request.url, '/api/v2/logs');
  assert.equal(request.headers['dd-api-key'], 'k1');
  const told = { service: 'checkout', ddsource: 'sentinel', ddtags: 'env:test' };
  assert.deepEqual(logs, [
    { hostname: 'h', message: 'paid', n: 1, status: 'INFO', timestamp: 1764000000250, ...told },
    { hostname: 'h', message: 'x', ...told },
  ]);
  for (const [status, kind] of [[413, 'large'], [400, 'refused'], [403, 'later'], [500, 'later']]) {
    next = [status];
    assert.equal((await datadog.send(entries, 5000)).kind, kind);
  }
  datadog.close();
  assert.throws(() => new DatadogTransport('datadog', { kind: 'datadog', api_key_file: 'k', site: 'x.com' }, ''), /site/);
});

test('A batch is signed over its id and entries, and the key is named by its hash', async () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const signingKeyFile = join(folder(), 'key.pem');
  fs.writeFileSync(signingKeyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  const server = await new Server().listen();
  const store = openStore({ url: server.url, directory: folder(), integrity: 'ed25519', signingKeyFile });
  store.append('{"a":1}');
  store.append('{"b":2}');
  assert.equal(await store.flush(20_000), true);
  const { headers } = server.requests[0];
  const id = Buffer.from(headers['sentinel-batch-id'], 'hex');
  const digest = createHash('sha256').update('{"a":1}\n{"b":2}').digest();
  const signature = Buffer.from(headers['sentinel-signature'], 'base64url');
  assert.ok(verify(null, Buffer.concat([Buffer.from('SS1'), id, digest]), publicKey, signature));
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url');
  assert.equal(headers['sentinel-key-id'], createHash('sha256').update(raw).digest('hex').slice(0, 32));
  await store.close(1000);
  fs.chmodSync(signingKeyFile, 0o644);
  const again = { url: server.url, directory: folder(), integrity: 'ed25519' };
  assert.throws(() => openStore({ ...again, signingKeyFile }), /chmod 600/);
  assert.throws(() => openStore(again), /signingKeyFile/);
});

test('Signature Version 4 is made as the IAM User Guide says, step by step', () => {
  const keys = { access: 'AKIDEXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', token: '', until: 0 };
  const body = Buffer.from('{}');
  const made = signed(keys, 'us-east-1', 'logs', { Host: 'logs.us-east-1.amazonaws.com' }, body, Date.UTC(2015, 7, 30, 12, 36));
  assert.equal(made['X-Amz-Date'], '20150830T123600Z');
  const hmac = (key, text) => createHmac('sha256', key).update(text).digest();
  const day = ['20150830', 'us-east-1', 'logs', 'aws4_request'].reduce(hmac, `AWS4${keys.secret}`);
  const request =
    'POST\n/\n\nhost:logs.us-east-1.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n' +
    '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'; // SHA-256 of {}
  const hash = createHash('sha256').update(request).digest('hex');
  const text = `AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/logs/aws4_request\n${hash}`;
  assert.ok(made.Authorization.endsWith(`Signature=${hmac(day, text).toString('hex')}`));
});

test('CloudWatch gets signed requests; streams and groups are made; what it refuses is known', async () => {
  const asked = [];
  const answers = [
    [400, { __type: 'com.amazonaws#ResourceNotFoundException' }],
    [400, { __type: 'ResourceNotFoundException' }],
    [200, ''],
    [200, ''],
    [200, { rejectedLogEventsInfo: { tooOldLogEventEndIndex: 1 } }],
  ];
  const endpoint = await answering((request, body) => {
    asked.push([request.headers, JSON.parse(body)]);
    return answers.shift() ?? [400, { __type: 'AccessDeniedException' }];
  });
  const environ = { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 't' };
  const options = { kind: 'cloudwatch', group: 'shop', create: true, endpoint };
  const transport = new CloudWatchTransport('cloudwatch', options, new CredentialChain({ environ }), environ);
  const entries = batch('{"time":1764000001,"n":1}', '{"time":1764000000,"n":0}');
  assert.deepEqual(await transport.send(entries, 5000), { kind: 'sent', refused: [1] });
  assert.deepEqual(asked.map(([headers]) => headers['x-amz-target']), [
    'PutLogEvents', 'CreateLogStream', 'CreateLogGroup', 'CreateLogStream', 'PutLogEvents',
  ].map((action) => `Logs_20140328.${action}`));
  const [headers, told] = asked[0];
  assert.match(headers.authorization, /^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/eu-west-1\/logs\/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=[0-9a-f]{64}$/);
  assert.deepEqual([told.logGroupName, told.logStreamName], ['shop', producer]);
  assert.deepEqual(told.logEvents.map(({ timestamp }) => timestamp), [1764000000000, 1764000001000]);
  const denied = await transport.send(batch('{"n":2}'), 5000);
  assert.match(denied.why, /refuses the credentials: AccessDenied/);
  transport.close();
});

test('Events of more than 24 hours go in parts, and rejected ones are told by their places', () => {
  const event = (time, place) => ({ time, place, message: '' });
  const day = 86_400_000;
  const parts = spans([event(day, 0), event(0, 1), event(day - 1, 2)]);
  assert.deepEqual(parts.map((part) => part.map(({ place }) => place)), [[1, 2], [0]]);
  const info = { tooOldLogEventEndIndex: 1, expiredLogEventEndIndex: 0, tooNewLogEventStartIndex: 2 };
  assert.deepEqual(rejected([event(0, 7), event(1, 8), event(2, 9)], info), [7, 9]);
});

test('AWS credentials come from the container or the instance, and are kept until shortly before they end', async () => {
  let asked = 0;
  const keys = { AccessKeyId: 'A', SecretAccessKey: 'S', Token: 'T', Expiration: new Date(Date.now() + 3_600_000).toISOString() };
  const url = await answering((request) => {
    asked++;
    if (request.method === 'PUT') return [200, 'proof'];
    if (request.url === '/latest/meta-data/iam/security-credentials/') return [200, 'role\n'];
    return [200, keys];
  });
  const container = new CredentialChain({ environ: { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/x' }, ecs: url });
  assert.equal((await container.keys()).access, 'A');
  await container.keys();
  assert.equal(asked, 1);
  const instance = new CredentialChain({ environ: {}, imds: url });
  assert.equal((await instance.keys()).token, 'T');
  assert.equal(asked, 4);
  const away = new CredentialChain({ environ: { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://example.com/' } });
  await assert.rejects(away.keys(), /neither https/);
  await assert.rejects(new CredentialChain({ environ: { AWS_EC2_METADATA_DISABLED: 'true' } }).keys(), /no AWS credentials/);
});

test('Backoff has full jitter: any part of a bound that doubles up to a minute, and what was asked for at least', () => {
  const backoff = new Backoff(() => 1);
  assert.deepEqual([0, 0, 0].map((least) => backoff.failed(least)), [500, 1000, 2000]);
  for (let round = 0; round < 50; round++) backoff.failed(0);
  assert.equal(backoff.failed(0), 60_000);
  assert.equal(backoff.failed(90_000), 90_000);
  assert.equal(new Backoff(() => 0).failed(0), 0);
});

test('In Lambda an invocation ends with a flush within the time that is left, also where it throws', async () => {
  assert.equal(timeLeft({ getRemainingTimeInMillis: () => 1500 }), 1000);
  assert.equal(timeLeft({ getRemainingTimeInMillis: () => 100 }), 0);
  assert.equal(timeLeft(undefined), 5000);
  const server = await new Server().listen();
  const store = openStore({ url: server.url, directory: folder(), batchSeconds: 60 });
  const handler = withFlush(store, (event) => {
    store.append(JSON.stringify(event));
    if (event.bad) throw new Error('bad');
    return event.n;
  });
  const context = { getRemainingTimeInMillis: () => 30_000 };
  assert.equal(await handler({ n: 1 }, context), 1);
  assert.deepEqual(server.entries, ['{"n":1}']);
  await assert.rejects(handler({ bad: true }, context), /bad/);
  assert.equal(server.entries.length, 2);
  await store.close(1000);
});
