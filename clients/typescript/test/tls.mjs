// What goes over TLS, with certificates that the caller made in the folder SENTINEL_TEST_CERTIFICATES: `ca`, `server`,
// `one` and `two` (clients of `ca`), `stranger` (another CA), each as .pem and .key.
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer as createPlain } from 'node:http';
import { createServer } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { folder, part } from './harness.mjs';

const { Door } = part('door');
const { settings } = part('options');
const { proxyFor, TunnelAgent } = part('proxies');
const { HttpTransport } = part('transports/http');

const made = process.env.SENTINEL_TEST_CERTIFICATES;
const file = (name) => join(made, name);
const batch = { producer: 'js-0011223344556677', first: 0, count: 1, entries: [Buffer.from('{}')] };

/** A gateway with a door: tokens t1, t2, ... of `seconds`; `good` says which it takes. */
async function gateway({ seconds = 900, good = () => true, slow = false } = {}) {
  const seen = { names: [], forms: [], tokens: [], given: 0 };
  const ask = { key: readFileSync(file('server.key')), cert: readFileSync(file('server.pem')), ca: readFileSync(file('ca.pem')) };
  const server = createServer({ ...ask, requestCert: true, rejectUnauthorized: true }, async (request, response) => {
    let body = '';
    for await (const some of request.setEncoding('latin1')) body += some;
    seen.names.push(request.socket.getPeerCertificate().subject?.CN);
    if (request.url.startsWith('/v1/token')) {
      seen.forms.push(Object.fromEntries(new URLSearchParams(body)));
      const token = { access_token: `t${++seen.given}`, token_type: 'Bearer', expires_in: seconds };
      return response.end(JSON.stringify(token));
    }
    seen.tokens.push(request.headers.authorization);
    if (slow) return response.write('{');
    if (!good(request.headers.authorization)) return response.writeHead(401).end('{"error":"Unauthenticated"}');
    response.writeHead(409).end('{"error":"Conflict"}');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => (server.closeAllConnections(), server.close()));
  return { url: `https://localhost:${server.address().port}`, port: server.address().port, seen };
}

function transport(url, more = {}) {
  const keyFile = join(folder(), 'api-key');
  writeFileSync(keyFile, 'sk_secret\n');
  const files = { certificate: file('one.pem'), certificateKey: file('one.key'), roots: file('ca.pem') };
  return new HttpTransport('http', settings({ url, service: 'checkout', apiKeyFile: keyFile, ...files, ...more }, {}, {}));
}

/** What was sent counts as stored before where an entry is missing: so 409 is an answer without a receipt. */
const sent = { ...batch, count: 2 };

test('A token is asked for by client credentials, used again, and asked for anew before it ends', async () => {
  const { url, seen } = await gateway();
  const http = transport(url);
  assert.deepEqual(await http.send(sent, 10_000), { kind: 'sent' });
  await http.send(sent, 10_000);
  assert.deepEqual(seen.forms, [{ grant_type: 'client_credentials', client_id: 'checkout', client_secret: 'sk_secret' }]);
  assert.deepEqual(seen.tokens, ['Bearer t1', 'Bearer t1']);
  http.close();
  const short = await gateway({ seconds: 0 });
  const again = transport(short.url);
  await again.send(sent, 10_000);
  await again.send(sent, 10_000);
  assert.deepEqual(short.seen.tokens, ['Bearer t1', 'Bearer t2']);
  again.close();
});

test('A token that is not taken is asked for anew once; then it is said and waited', async () => {
  const { url, seen } = await gateway({ good: (token) => token === 'Bearer t2' });
  const http = transport(url);
  assert.equal((await http.send(sent, 10_000)).kind, 'sent');
  assert.deepEqual(seen.tokens, ['Bearer t1', 'Bearer t2']);
  http.close();
  const shut = await gateway({ good: () => false });
  const never = transport(shut.url);
  assert.deepEqual(await never.send(sent, 10_000), { kind: 'later', why: 'status 401', after: 10_000 });
  assert.equal(shut.seen.given, 2);
  never.close();
});

test('Certificate files are read again when they are replaced', async () => {
  const { url, seen } = await gateway();
  const place = folder();
  const [certificate, certificateKey] = [join(place, 'c.pem'), join(place, 'c.key')];
  const put = (name) => {
    for (const [end, to] of [['pem', certificate], ['key', certificateKey]]) {
      copyFileSync(file(`${name}.${end}`), `${to}.new`);
      renameSync(`${to}.new`, to);
    }
  };
  put('one');
  const http = transport(url, { certificate, certificateKey });
  await http.send(sent, 10_000);
  put('two');
  await http.send(sent, 10_000);
  assert.deepEqual(seen.names, ['one', 'one', 'two']);
  http.close();
});

test('Whoever is not the server gets nothing, and what is wrong is said without a secret', async () => {
  const { url, seen } = await gateway();
  const cases = [
    [{ roots: file('stranger.pem') }, /UNABLE_TO_VERIFY|SELF_SIGNED|UNABLE_TO_GET_ISSUER/],
    [{ certificate: file('missing.pem') }, /certificate files: ENOENT/],
    [{ certificateKey: file('two.key') }, /certificate files: ERR_/],
    [{ apiKeyFile: file('missing') }, /API key file: ENOENT/],
  ];
  for (const [more, why] of cases) {
    const http = transport(url, more);
    const outcome = await http.send(sent, 10_000);
    assert.equal(outcome.kind, 'later');
    assert.match(outcome.why, why);
    http.close();
  }
  assert.deepEqual(seen.tokens, []);
  const stranger = transport(url, { certificate: file('stranger.pem'), certificateKey: file('stranger.key') });
  const refused = await stranger.send(sent, 10_000);
  assert.equal(refused.kind, 'later');
  assert.deepEqual(seen.tokens, []);
  stranger.close();
});

test('A server that trickles cannot hold a request beyond its deadline', async () => {
  const { url } = await gateway({ slow: true });
  const http = transport(url);
  assert.deepEqual(await http.send(sent, 700), { kind: 'later', why: 'timed out', after: 0 });
  http.close();
});

test('Through a proxy TLS is with the server, and the proxy learns its name only', async () => {
  const { port } = await gateway();
  const asked = [];
  const proxy = createPlain().on('connect', (request, socket) => {
    asked.push([request.url, request.headers['proxy-authorization']]);
    const to = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(to).pipe(socket);
    });
    to.on('error', () => socket.destroy());
    socket.on('error', () => to.destroy());
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  after(() => (proxy.closeAllConnections(), proxy.close()));
  const read = (name) => readFileSync(file(name));
  const agent = new TunnelAgent(new URL(`http://me:pass@127.0.0.1:${proxy.address().port}`), {
    keepAlive: true, cert: read('one.pem'), key: read('one.key'), ca: read('ca.pem'),
  });
  const { exchange } = part('door');
  const options = { agent, host: 'localhost', port, method: 'POST', path: '/v1/entries', headers: { 'Content-Length': 2 } };
  const { status } = await exchange(await import('node:https'), options, '{}', 10_000);
  assert.equal(status, 409);
  assert.deepEqual(asked, [[`localhost:${port}`, `Basic ${Buffer.from('me:pass').toString('base64')}`]]);
  agent.destroy();
});

test('A proxy is used as HTTPS_PROXY and NO_PROXY say, never for this machine', () => {
  const environ = { HTTPS_PROXY: 'proxy.example:3128', NO_PROXY: 'internal.example, .corp' };
  assert.equal(proxyFor('sentinel.example', environ).href, 'http://proxy.example:3128/');
  for (const host of ['localhost', '127.0.0.1', 'a.internal.example', 'internal.example', 'x.corp']) {
    assert.equal(proxyFor(host, environ), undefined, host);
  }
  assert.equal(proxyFor('notinternal.example', environ)?.port, '3128');
  assert.equal(proxyFor('sentinel.example', { ...environ, NO_PROXY: '*' }), undefined);
  assert.equal(proxyFor('sentinel.example', {}), undefined);
  assert.throws(() => new Door({ url: 'http://sentinel.example' }), /https/);
});
