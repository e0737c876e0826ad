// What several tests share: folders, a server that keeps to docs/wire.md, and waiting for a condition.
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import * as zlib from 'node:zlib';

const require = createRequire(import.meta.url);

/** Load one of the client's own modules, as built. */
export const part = (name) => require(`../dist/cjs/${name}.js`);

/** Return a new folder that goes when the file's tests are done. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), 'sentinel-'));
  after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Wait until something is true; the time is only a bound for what never becomes so. */
export async function until(condition, what = 'a condition', milliseconds = 60_000) {
  const end = Date.now() + milliseconds;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function sha(...parts) {
  return parts.reduce((hash, one) => hash.update(one), createHash('sha256')).digest();
}

function u64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/**
 * A server as the real one is to its senders: a batch id is stored once, and its receipt says what heads are made of.
 *
 * `behave` is called with each request's number and the batch, and may return `{status, headers}` (nothing is stored),
 * `'lose'` (stored, and the connection breaks before the answer), `'break'` (not even stored), `'garbage'`, `{receipt}` that changes the receipt's text, a function
 * that changes the entries before they are stored, or `{refuse}`, which says of a line whether it is a bad one.
 */
export class Server {
  entries = [];
  batches = new Map();
  requests = [];
  behave = () => undefined;
  #parsed = 0;
  #numbers = new Map();
  #head = sha('SG1', 'local/0');
  #server = createServer((request, response) => void this.#serve(request, response));

  async listen(port = 0) {
    await new Promise((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    this.port = this.#server.address().port;
    after(() => this.close());
    return this;
  }

  /** Return the numbers of the entries with this name, in order of arrival; each entry is parsed once. */
  numbers(name) {
    for (; this.#parsed < this.entries.length; this.#parsed++) {
      const entry = JSON.parse(this.entries[this.#parsed]);
      if (!this.#numbers.has(entry.name)) this.#numbers.set(entry.name, []);
      this.#numbers.get(entry.name).push(entry.number);
    }
    return this.#numbers.get(name) ?? [];
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  close() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request, response) {
    const parts = [];
    try {
      for await (const one of request) parts.push(one);
    } catch {
      return;
    }
    let body = Buffer.concat(parts);
    if (request.headers['content-encoding'] === 'gzip') body = zlib.gunzipSync(body);
    if (request.headers['content-encoding'] === 'zstd') body = zlib.zstdDecompressSync(body);
    const lines = body.toString().split('\n').filter(Boolean);
    this.requests.push({ headers: request.headers, url: request.url, lines, body });
    const act = this.behave(this.requests.length, lines);
    if (act === 'break') return request.socket.destroy();
    if (act === 'garbage') return response.end('<html>');
    if (act?.status) return response.writeHead(act.status, act.headers).end('{"error":"x"}');
    const good = act?.refuse ? (all) => all.filter((line) => !act.refuse(line)) : (all) => all;
    const receipt = this.#store(request.headers, lines, typeof act === 'function' ? act : good, act?.refuse);
    if (act === 'lose') return request.socket.destroy();
    if (!receipt) return response.writeHead(409).end('{"error":"Conflict"}');
    response.writeHead(200, { 'content-type': 'application/json' }).end(act?.receipt ? act.receipt(receipt) : receipt);
  }

  #bad(lines, refuse) {
    if (!refuse) return '';
    const bad = lines.flatMap((line, place) => (refuse(line) ? [place + 1] : []));
    return `,"rejected":${bad.length},"lines":${JSON.stringify(bad)}`;
  }

  #store(headers, lines, change, refuse) {
    const id = headers['sentinel-batch-id'];
    const before = this.batches.get(id);
    if (before) return before.text === lines.join('\n') ? before.receipt : undefined;
    const stored = change([...lines]);
    const first = this.entries.length;
    const [salt, prev, t] = [randomBytes(32), this.#head, 1764000000000000123n + BigInt(first)];
    for (const line of stored) {
      const leaf = sha('SL1', salt, line);
      this.#head = sha('SC1', leaf, this.#head, u64(t), headers['sentinel-service'] ?? 'local');
      this.entries.push(line);
    }
    const hex = { prev: prev.toString('hex'), head: this.#head.toString('hex'), salt: salt.toString('hex') };
    const segment = `{"first":${first},"count":${stored.length},"prev":"${hex.prev}","head":"${hex.head}","t":${t},"salt":"${hex.salt}"}`;
    const receipt = `{"chain":"local/0","first":${first},"count":${stored.length},"head":"${hex.head}","t":${t},"batch_id":"${id}","segments":[${segment}]${this.#bad(lines, refuse)}}`;
    this.batches.set(id, { text: lines.join('\n'), receipt });
    return receipt;
  }
}

/** Return the slots of a root. */
export const slots = (root) => readdirSync(root).filter((name) => /^js-[0-9a-f]{16}$/.test(name));

/** Return all entries that a root's segments hold, as one reads them who knows only docs/clients.md. */
export function entriesOf(root) {
  return slots(root).flatMap((slot) => {
    const names = readdirSync(join(root, slot)).filter((name) => name.endsWith('.wal')).sort();
    return names.flatMap((name) => framesOf(readFileSync(join(root, slot, name))));
  });
}

function framesOf(bytes) {
  const all = [];
  for (let at = 32; at + 16 <= bytes.length; ) {
    const end = at + 16 + bytes.readUInt32BE(at + 4);
    if (end > bytes.length) break;
    all.push({ sequence: Number(bytes.readBigUInt64BE(at + 8)), entry: bytes.subarray(at + 16, end).toString() });
    at = end;
  }
  return all;
}
