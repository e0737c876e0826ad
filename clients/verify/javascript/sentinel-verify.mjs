#!/usr/bin/env node
// sentinel-verify: checks a bundle of a Sentinel chain, or of one entry, with nothing but public keys.
//
//     node sentinel-verify.mjs FILE --key VKEY [--witness VKEY ... [--quorum N]] [--max-age SECONDS] [--json]
//
// The second implementation of the format in docs/verify.md, written from that page; it depends on Node alone.
// Exit codes: 0 verified, 1 not, 2 wrong usage. What it does not know makes it refuse the bundle.

import { createHash, createPublicKey, verify as ed25519 } from "node:crypto";
import { createReadStream, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

const LINE_LIMIT = 2 ** 27;
const PLAIN = 1;
const TIMED = 4;
const SKEW = 600; // seconds that the log's clock may be ahead where it has to say that it is fresh
const LATEST = 253_402_300_799; // the last second that has a date of four digits
const DEPTH = 200; // of objects and lists in each other
const NUMBER = /^(0|[1-9][0-9]{0,14})$/;
const EMPTY = Buffer.alloc(0);

/** The verdict that a bundle does not verify. */
export class Refused extends Error {
  constructor(kind, entry, detail) {
    super(detail);
    Object.assign(this, { kind, entry, detail, line: 0 });
  }
}

/** What is wrong with the form of something: a line, a note, a key. */
class Bad extends Error {}

function need(holds, what) {
  if (!holds) throw new Bad(what);
}

function sha256(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

// --- JSON. JSON.parse takes a name that stands twice, and rounds numbers; this takes neither, nor floats.

class Json {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  static parse(bytes) {
    let text;
    try {
      text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw new Bad("it is not UTF-8");
    }
    const reader = new Json(text);
    const value = reader.value(0);
    need(reader.at === text.length, "something follows the JSON");
    return value;
  }

  space() {
    while (this.at < this.text.length && " \t\n\r".includes(this.text[this.at])) this.at += 1;
  }

  match(expression) {
    expression.lastIndex = this.at;
    const found = expression.exec(this.text);
    if (found) this.at += found[0].length;
    return found?.[0];
  }

  take(character) {
    this.space();
    if (this.text[this.at] !== character) return false;
    this.at += 1;
    return true;
  }

  value(depth) {
    need(depth < DEPTH, "it is nested too deep");
    this.space();
    let found;
    const first = this.text[this.at];
    if (first === "{") found = this.object(depth);
    else if (first === "[") found = this.array(depth);
    else if (first === '"') found = this.string();
    else {
      const word = this.match(/[-+.\w]+/y);
      if (word === "true" || word === "false" || word === "null") found = JSON.parse(word);
      else {
        need(word !== undefined && NUMBER.test(word), "a number is not one that is used here");
        found = Number(word);
      }
    }
    this.space();
    return found;
  }

  object(depth) {
    const found = new Map();
    this.take("{");
    if (this.take("}")) return found;
    do {
      this.space();
      const name = this.string();
      need(this.take(":") && !found.has(name), "a name stands twice in an object, or this is no JSON");
      found.set(name, this.value(depth + 1));
    } while (this.take(","));
    need(this.take("}"), "this is no JSON");
    return found;
  }

  array(depth) {
    const found = [];
    this.take("[");
    if (this.take("]")) return found;
    do found.push(this.value(depth + 1));
    while (this.take(","));
    need(this.take("]"), "this is no JSON");
    return found;
  }

  string() {
    const raw = this.text.slice(this.at, this.closing(this.at + 1) + 1);
    let found;
    try {
      found = JSON.parse(raw);
    } catch {
      throw new Bad("this is no JSON");
    }
    need(found.isWellFormed(), "half a character is no text");
    this.at += raw.length;
    return found;
  }

  /** Where the string ends that is open at `at`: a regular expression over it runs out of stack at some length. */
  closing(at) {
    for (let end = this.text.indexOf('"', at); end >= 0; end = this.text.indexOf('"', end + 1)) {
      let before = end;
      while (before > at && this.text[before - 1] === "\\") before -= 1;
      if ((end - before) % 2 === 0) return end;
    }
    throw new Bad("this is no JSON");
  }
}

// --- Values of a line.

function fields(value, ...names) {
  need(
    value instanceof Map && value.size === names.length && names.every((name) => value.has(name)),
    `an object has exactly ${names.join(", ")}`,
  );
  return names.map((name) => value.get(name));
}

function typed(value, type) {
  need(typeof value === type, `a ${type} was expected`);
  return value;
}

const number = (value) => typed(value, "number");
const text = (value) => typed(value, "string");

function list(value) {
  need(Array.isArray(value), "a list was expected");
  return value;
}

function nanoseconds(value) {
  need(/^(0|[1-9][0-9]{0,19})$/.test(text(value)), "a time is nanoseconds as text");
  const found = BigInt(value);
  need(found < 1n << 64n, "a time has 64 bits");
  return found;
}

function u64(value) {
  const found = Buffer.alloc(8);
  found.writeBigUInt64BE(value);
  return found;
}

function digest(value) {
  need(/^[0-9a-f]{64}$/.test(text(value)), "32 bytes of hex were expected");
  return Buffer.from(value, "hex");
}

function base64(value) {
  const found = Buffer.from(text(value), "base64");
  need(found.toString("base64") === value, "this is no canonical base64");
  return found;
}

function stored(value) {
  return value instanceof Map ? base64(fields(value, "b64")[0]) : Buffer.from(text(value));
}

/** An entry and its leaf; no entry where it was erased. */
function entryOf(value, salt) {
  if (value instanceof Map && value.has("erased")) return { leaf: digest(fields(value, "erased")[0]) };
  const line = stored(value);
  return { line, leaf: sha256("SL1", salt, line) };
}

/** Whether nonce and context are those beside what was erased: no hash commits to others. */
function blank(nonce, context) {
  return /^0*$/.test(nonce) && stored(context).toString("latin1") === "{}";
}

/** Percent-encode (RFC 3986) all but unreserved characters and `/:@`, as origins are. */
function quoted(chain) {
  return encodeURIComponent(chain)
    .replace(/[!'()*]/g, (found) => `%${found.charCodeAt(0).toString(16).toUpperCase()}`)
    .replace(/%(2F|3A|40)/g, decodeURIComponent);
}

/** A text with some of its characters as JSON escapes them: a terminal obeys some, and does not show others. */
function escaped(text, which) {
  const unit = (at) => {
    const told = JSON.stringify(at).slice(1, -1);
    return told === at ? `\\u${at.charCodeAt(0).toString(16).padStart(4, "0")}` : told;
  };
  return text.replace(which, (found) => found.replace(/[^]/g, unit));
}

/** What nobody has signed, as it may be printed. */
const shown = (text) => escaped(JSON.stringify(text), /[^ -~]/g);

/** What was verified, as it may be printed. */
const legible = (text) => escaped(text, /(?! )[\p{C}\p{Z}]/gu);

// --- Keys and signed notes.

export class Key {
  constructor(name, type, bytes) {
    Object.assign(this, { name, type, bytes });
    this.id = sha256(name, "\n", Buffer.from([type]), bytes).subarray(0, 4);
  }

  static read(vkey) {
    const [, name, id, encoded] = /^([^\p{White_Space}+]+)\+([^+]*)\+(.*)$/su.exec(vkey) ?? [];
    const raw = base64(encoded);
    need(raw.length === 33, "a key is NAME+ID+BASE64 of 33 bytes");
    const key = new Key(name, raw[0], raw.subarray(1));
    need(key.type === PLAIN || key.type === TIMED, "a key is Ed25519, of type 1 or 4 (C2SP signed-note)");
    need(key.id.toString("hex") === id, "the id of this key is not that of its bytes: it was copied wrong");
    return key;
  }

  /** When this key signed a note, 0 where it says no time; undefined where it did not; throws Bad for a wrong one. */
  signed(note) {
    let when;
    for (const { name, id, raw } of note.signatures) {
      if (name !== this.name || !id.equals(this.id)) continue;
      let signature = raw;
      let message = note.text;
      when = 0;
      if (this.type === TIMED) {
        need(raw.length === 72, "a signature is wrong");
        const seconds = raw.readBigUInt64BE(0);
        message = `cosignature/v1\ntime ${seconds}\n${note.text}`;
        signature = raw.subarray(8);
        when = Number(seconds);
      }
      need(this.#verify(message, signature), "a signature is wrong");
    }
    return when;
  }

  #verify(message, signature) {
    try {
      const x = this.bytes.toString("base64url");
      const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
      return ed25519(null, Buffer.from(message), key, signature);
    } catch {
      return false;
    }
  }
}

function opened(value) {
  need(Buffer.byteLength(text(value)) <= 100_000, "a note is shorter");
  need(!/[\u0000-\u0009\u000b-\u001f]/.test(value), "a note has no control characters");
  const gap = value.lastIndexOf("\n\n");
  need(gap >= 0 && value.endsWith("\n") && gap + 2 < value.length, "a signed note ends with signatures");
  const signatures = value
    .slice(gap + 2, -1)
    .split("\n")
    .map((line) => {
      const [, name, encoded] = /^\u2014 ([^\p{White_Space}+]+) ([A-Za-z0-9+/=]+)$/u.exec(line) ?? [];
      const raw = base64(encoded);
      need(raw.length > 4, "a signature is a dash, a name and base64 of a key's id and more");
      return { name, id: raw.subarray(0, 4), raw: raw.subarray(4) };
    });
  need(signatures.length <= 64, "a note has 64 signatures at most");
  return { text: value.slice(0, gap + 1), lines: value.slice(0, gap).split("\n"), signatures };
}

// --- The tree (RFC 6962; proofs RFC 9162).

const leafHash = (hashed) => sha256(Buffer.from([0]), hashed);
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right);

class Tree {
  /** Roots of complete subtrees by their height; undefined where the size has no such bit. */
  levels = [];

  add(hashed) {
    let found = leafHash(hashed);
    let height = 0;
    for (; this.levels[height]; height += 1) {
      found = nodeHash(this.levels[height], found);
      this.levels[height] = undefined;
    }
    this.levels[height] = found;
  }

  root() {
    let found;
    for (const each of this.levels) {
      if (each) found = found ? nodeHash(each, found) : each;
    }
    return found ?? sha256(EMPTY);
  }
}

/** Where a proof leads from leaf `index` of `size`: recursive, after the definition in RFC 9162, 2.1.3.1. */
function rootOf(index, size, hashed, proof) {
  if (size === 1) return proof.length ? undefined : leafHash(hashed);
  if (!proof.length) return undefined;
  let split = 1;
  while (split * 2 < size) split *= 2;
  const rest = proof.slice(0, -1);
  const last = proof.at(-1);
  if (index < split) {
    const left = rootOf(index, split, hashed, rest);
    return left && nodeHash(left, last);
  }
  const right = rootOf(index - split, size - split, hashed, rest);
  return right && nodeHash(last, right);
}

// --- The checks.

class Bundle {
  constructor({ keys, witnesses, quorum }) {
    Object.assign(this, { keys, witnesses, quorum });
    Object.assign(this, { next: 0, segments: 0, checkpoints: 0, records: 0, time: 0n, ended: false });
    this.newest = { number: -1, size: 0, seconds: 0, root: EMPTY, cosigned: [] };
    this.tree = new Tree();
    this.leaves = new Map();
    this.unrecorded = new Set();
  }

  refuse(kind, entry, detail) {
    throw new Refused(kind, entry, detail);
  }

  header(value) {
    const [version, kind, chain, origin] = fields(value, "sentinel-bundle", "kind", "chain", "origin");
    need(number(version) === 1, "a bundle of this version is not known here");
    need(kind === "chain" || kind === "entry", "a bundle is of a chain or of an entry");
    const end = `/${quoted(text(chain))}`;
    need(text(origin).endsWith(end) && origin !== end, "its origin is none of its chain");
    const log = origin.slice(0, -end.length);
    this.service = Buffer.from(chain.slice(0, Math.max(0, chain.lastIndexOf("/"))));
    Object.assign(this, { kind, chain, origin, hash: sha256("SG1", chain) });
    const mine = this.keys.filter((key) => key.name === log || key.name === origin);
    if (!mine.length) this.refuse("key", 0, `none of the keys given is of the log ${shown(log)}`);
    this.signers = mine.map(({ bytes }) => [new Key(origin, PLAIN, bytes), new Key(log, TIMED, bytes)]);
  }

  line(value) {
    need(!this.ended, "something follows the end");
    need(value instanceof Map && value.size === 1, "a line is an object with one name");
    const [[name, told]] = value;
    need(this.due().includes(name), "a line does not stand here");
    this[name](told);
  }

  due() {
    if (this.kind === "chain") return ["segment", "checkpoint", "end"];
    if (!this.checkpoints) return ["checkpoint"];
    if (this.own === undefined) return ["entry"];
    return [this.unrecorded.size ? "record" : "end"];
  }

  segment(value) {
    const names = ["first", "count", "prev", "head", "t", "nonce", "context", "entries"];
    const [first, count, prev, head, t, nonce, context, entries] = fields(value, ...names);
    const [linked, time] = [number(first) >= 0 && digest(prev), nanoseconds(t)];
    if (first > this.next) this.refuse("missing", this.next, `entries ${this.next} to ${first - 1} are gone`);
    if (first < this.next) this.refuse("place", first, `it stands where entry ${this.next} should begin`);
    if (!linked.equals(this.hash)) this.refuse("link", first, "it is not linked to the entry before it");
    if (time < this.time) this.refuse("time", first, "it is older than the segment before it");
    if (!list(entries).length || number(count) !== entries.length) {
      this.refuse("count", first, "it does not hold as many entries as it says");
    }
    const salt = sha256("SX1", digest(nonce), stored(context));
    const lines = entries.map((each) => entryOf(each, salt));
    let hash = this.hash;
    for (const { leaf } of lines) {
      hash = sha256("SC1", leaf, hash, u64(time), this.service);
      this.tree.add(hash);
    }
    if (!hash.equals(digest(head))) {
      this.refuse("hash", first, "its entries, context or time are not those its head commits to");
    }
    const whole = lines.every(({ line }) => line === undefined);
    if (whole && !blank(nonce, context)) this.refuse("hash", first, "beside erased entries something stands");
    const records = isErasure(stored(context));
    lines.forEach(({ line, leaf }, place) => {
      if (line === undefined) this.erased(first + place, leaf);
      else if (records) this.settle(first + place, line);
    });
    Object.assign(this, { next: first + entries.length, hash, time, segments: this.segments + 1 });
  }

  erased(seq, leaf) {
    this.leaves.set(seq, leaf);
    this.unrecorded.add(seq);
  }

  checkpoint(value) {
    const [count, raw] = fields(value, "number", "note");
    const { number: before, size: known, seconds: then } = this.newest;
    const what = `checkpoint ${number(count)}`;
    let note, size, root, seconds;
    try {
      note = opened(raw);
      need(note.lines.length === 3 && note.lines[0] === this.origin, "it is none of this chain's");
      need(NUMBER.test(note.lines[1]), "it has no size");
      size = Number(note.lines[1]);
      root = base64(note.lines[2]);
      seconds = this.signed(note);
    } catch (error) {
      if (!(error instanceof Bad)) throw error;
      this.refuse("checkpoint", known, `${what}: ${error.message}`);
    }
    const whole = this.kind === "chain";
    if (whole && count !== before + 1) this.refuse("order", known, `checkpoint ${before + 1} is gone`);
    if (size < known || seconds < then) {
      this.refuse("order", known, `${what} goes back behind the one before it`);
    }
    if (whole && size > this.next) {
      this.refuse("cut", this.next, `the chain ends at entry ${this.next - 1}; ${size} were signed`);
    }
    if (whole && (size < this.next || !root.equals(this.tree.root()))) {
      this.refuse("rewritten", size - 1, `the tree of ${size} is not the one that was signed`);
    }
    this.newest = { number: count, size, seconds, root, cosigned: this.cosigned(note, size, what) };
    this.checkpoints += 1;
  }

  signed(note) {
    for (const [plain, timed] of this.signers) {
      const [once, seconds] = [plain.signed(note), timed.signed(note)];
      if (once === undefined || seconds === undefined) continue;
      need(seconds <= LATEST, "its time has no date");
      return seconds;
    }
    throw new Bad("it is not signed by a known key of this log, plain and with the time");
  }

  cosigned(note, size, what) {
    try {
      const names = this.witnesses.filter((key) => key.signed(note) !== undefined).map((key) => key.name);
      return [...new Set(names)].sort();
    } catch (error) {
      if (!(error instanceof Bad)) throw error;
      return this.refuse("cosignature", size, `${what}: a witness's signature is wrong`);
    }
  }

  /** Check that the tree that was signed has an entry. */
  proven(seq, t, prev, nonce, context, entry, proof) {
    const { size, root } = this.newest;
    need(number(seq) < size, "an entry is one of the checkpoint before it");
    const { line, leaf } = entryOf(entry, sha256("SX1", digest(nonce), stored(context)));
    const hash = sha256("SC1", leaf, digest(prev), u64(nanoseconds(t)), this.service);
    if (!rootOf(seq, size, hash, list(proof).map(digest))?.equals(root)) {
      this.refuse("proof", seq, `it is not entry ${seq} of the tree of ${size} that was signed`);
    }
    if (line === undefined && !blank(nonce, context)) this.refuse("hash", seq, "beside its leaf something stands");
    return { seq, line, leaf };
  }

  entry(value) {
    const told = fields(value, "seq", "t", "prev", "nonce", "context", "entry", "proof");
    const { seq, line, leaf } = this.proven(...told);
    Object.assign(this, { own: seq, time: nanoseconds(told[1]) });
    if (line === undefined) this.erased(seq, leaf);
  }

  record(value) {
    const told = fields(value, "seq", "t", "prev", "nonce", "context", "entry", "proof", "leaves");
    const { seq, line } = this.proven(...told.slice(0, 7));
    this.records += 1;
    if (line !== undefined && isErasure(stored(told[4]))) this.settle(seq, line, list(told[7]).map(digest));
    this.recorded();
  }

  /** Take off what an entry is a valid record of; one that is none leaves it, to be refused at the end. */
  settle(seq, line, given) {
    let told, note, first, last, by;
    try {
      told = Json.parse(line);
      need(told instanceof Map, "a record is an object");
      note = opened(told.get("note"));
      [first, last] = [number(told.get("first")), number(told.get("last"))];
      by = this.signers.map(([plain]) => plain.signed(note)).some((each) => each !== undefined);
      text(told.get("reason"));
    } catch (error) {
      if (!(error instanceof Bad)) throw error;
      return;
    }
    if (!by || first > last || last >= seq || note.lines.length !== 6) return;
    const length = last - first + 1;
    if (!given && length > this.leaves.size) return;
    const leaves = given ?? Array.from({ length }, (_, place) => this.leaves.get(first + place) ?? EMPTY);
    const says = ["sentinel-erasure/v1", this.origin, `${first}-${last}`, note.lines[3]];
    says.push(sha256(Buffer.concat(leaves)).toString("base64"), sha256(told.get("reason")).toString("base64"));
    if (leaves.length !== length || says.some((each, at) => each !== note.lines[at])) return;
    for (const each of this.unrecorded) {
      if (leaves[each - first]?.equals(this.leaves.get(each))) this.unrecorded.delete(each);
    }
  }

  recorded() {
    if (this.unrecorded.size) {
      const seq = [...this.unrecorded].reduce((a, b) => Math.min(a, b));
      this.refuse("erasure", seq, "it was erased, and no record that the log signed says so");
    }
  }

  end(value) {
    const counted = { records: this.records };
    if (this.kind === "chain") {
      delete counted.records;
      Object.assign(counted, { entries: this.next, segments: this.segments, checkpoints: this.checkpoints });
      counted.unsealed = this.next - this.newest.size;
    }
    const told = fields(value, ...Object.keys(counted)).map(number);
    if (Object.values(counted).some((each, at) => each !== told[at])) {
      this.refuse("cut", this.next, "the bundle does not hold what its end says");
    }
    this.recorded();
    if (!this.checkpoints) {
      this.refuse("checkpoint", 0, "nothing of this chain was ever signed: it proves nothing");
    }
    const { cosigned, size } = this.newest;
    if (cosigned.length < this.quorum) {
      this.refuse("quorum", size, `${cosigned.length} of ${this.quorum} witnesses cosigned the newest checkpoint`);
    }
    this.ended = true;
  }

  result(now) {
    const { number: count, size, seconds, cosigned } = this.newest;
    const own = { entry: this.own, t: String(this.time) };
    const all = {
      entries: this.next,
      segments: this.segments,
      checkpoints: this.checkpoints,
      head: this.hash?.toString("hex"),
      unsealed: this.next - size,
    };
    return {
      verified: true,
      kind: this.kind,
      chain: this.chain,
      origin: this.origin,
      ...(this.kind === "chain" ? all : own),
      erased: this.leaves.size,
      checkpoint: { number: count, size, time: seconds, cosigned, age: now - seconds },
    };
  }
}

function isErasure(context) {
  try {
    const found = context.includes('"erase"') ? Json.parse(context) : undefined;
    return found instanceof Map && found.get("endpoint") === "erase";
  } catch (error) {
    if (!(error instanceof Bad)) throw error;
    return false;
  }
}

/** Yield the lines of a stream of bytes; undefined for what is no whole line, or too long. */
async function* linesOf(chunks) {
  let parts = [];
  let held = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      if (held + end - start >= LINE_LIMIT) yield undefined;
      yield Buffer.concat([...parts, chunk.subarray(start, end)]);
      [parts, held, start] = [[], 0, end + 1];
    }
    if (start < chunk.length) parts.push(chunk.subarray(start));
    held += chunk.length - start;
    if (held >= LINE_LIMIT) yield undefined;
  }
  if (held) yield undefined;
}

/** Check a bundle, given as an (async) iterable of buffers. Throws Refused. */
export async function verify(chunks, options) {
  const bundle = new Bundle(options);
  let count = 0;
  try {
    for await (const line of linesOf(chunks)) {
      count += 1;
      need(line !== undefined, "a line is cut off, or too long");
      const value = Json.parse(line);
      if (count === 1) bundle.header(value);
      else bundle.line(value);
    }
    if (!bundle.ended) bundle.refuse("cut", bundle.next, "the bundle has no end: it was cut off");
  } catch (error) {
    const refused = error instanceof Bad ? new Refused("format", bundle.next, error.message) : error;
    if (refused instanceof Refused) refused.line = count;
    throw refused;
  }
  return bundle;
}

// --- The command.

function sentences(found) {
  const { number: count, size, time, age, cosigned } = found.checkpoint;
  const what =
    found.kind === "chain"
      ? `${found.entries} entries, ${found.segments} segments, ${found.checkpoints} checkpoints`
      : `entry ${found.entry}, stored at ${found.t} ns`;
  const by = cosigned.length ? `cosigned by ${cosigned.join(", ")}` : "by no witness that was named";
  const when = new Date(time * 1000).toISOString().replace(".000", "");
  const lines = [
    `verified  ${legible(found.chain)}: ${what}`,
    `against   checkpoint ${count} of ${found.origin}: the first ${size} entries`,
    `signed    ${when}, ${age} s ago, ${by}`,
  ];
  if (found.erased) lines.push(`erased    ${found.erased} entries, each with the log's record of it`);
  if (found.unsealed) {
    lines.push(`UNSEALED  the last ${found.unsealed} entries are in no checkpoint yet: only linked`);
  }
  return lines.join("\n");
}

function asked(words) {
  const found = { keys: [], witnesses: [], json: false };
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at];
    if (word === "--json") found.json = true;
    else if (["--key", "--witness", "--quorum", "--max-age"].includes(word)) {
      at += 1;
      need(words[at] !== undefined, `${word} needs a value`);
      if (word === "--key") found.keys.push(Key.read(words[at]));
      else if (word === "--witness") found.witnesses.push(Key.read(words[at]));
      else {
        need(NUMBER.test(words[at]), `${word} is a number`);
        found[word === "--quorum" ? "quorum" : "most"] = Number(words[at]);
      }
    } else {
      need(found.file === undefined && (word === "-" || !word.startsWith("-")), `what is ${word}?`);
      found.file = word;
    }
  }
  need(found.file !== undefined && found.keys.length, "a FILE and a --key are needed");
  found.quorum ??= found.witnesses.length;
  need(found.witnesses.every((key) => key.type === TIMED), "a witness's key is of type 4");
  const names = new Set(found.witnesses.map((key) => key.name));
  need(found.quorum <= names.size, "a quorum is one of witnesses that are named");
  const owners = new Map(found.keys.map((key) => [key.bytes.toString("hex"), undefined]));
  for (const { name, bytes } of found.witnesses) {
    const hex = bytes.toString("hex");
    need(!owners.has(hex) || owners.get(hex) === name, "each witness has a key of its own, and not the log's");
    owners.set(hex, name);
  }
  return found;
}

export async function main(words) {
  let options;
  try {
    options = asked(words);
    const file = options.file === "-" ? process.stdin : createReadStream(options.file);
    const bundle = await verify(file, options);
    const now = Math.floor(Date.now() / 1000);
    const found = bundle.result(now);
    const { age, size } = found.checkpoint;
    if (options.most !== undefined && (age > options.most || age < -SKEW)) {
      bundle.refuse("stale", size, `the newest checkpoint is ${age} s old`);
    }
    console.log(options.json ? JSON.stringify(found) : sentences(found));
    return 0;
  } catch (error) {
    if (error instanceof Refused) {
      const { kind, entry, line, detail } = error;
      const said = `REFUSED   at entry ${entry}, line ${line}: ${kind}: ${detail}`;
      console.log(options.json ? JSON.stringify({ verified: false, kind, entry, line, detail }) : said);
      return 1;
    }
    if (!(error instanceof Bad) && error.code === undefined) throw error;
    console.error(`sentinel-verify: ${error.message}`);
    console.error("usage: FILE --key VKEY [--witness VKEY ... [--quorum N]] [--max-age SECONDS] [--json]");
    return 2;
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
