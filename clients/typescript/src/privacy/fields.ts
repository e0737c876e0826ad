/**
 * Encrypted fields: AES-256-GCM, under a key that several programs share or for the one who holds a private key.
 *
 *     {"$enc": "v1.<key id>.<base64url(nonce ‖ ciphertext ‖ tag)>"}                     under a master key
 *     {"$enc": "x1.<key id>.<base64url(ephemeral public key ‖ nonce ‖ ciphertext ‖ tag)>"}    for a recipient
 *
 * What is encrypted is the field's value as compact JSON in UTF-8. base64url (RFC 4648, 5) is without padding;
 * the nonce has 12 random bytes, the tag 16. The associated data are
 *
 *     "SF1" ‖ 0x00 ‖ form ("v1" or "x1") ‖ 0x00 ‖ key id ‖ 0x00 ‖ path of the field
 *
 * so that a value cannot be moved to another field. The AES key of `v1` is HKDF-SHA256 (RFC 5869) of the master
 * key, without salt, with the info "sentinel field v1 " ‖ key id; that of `x1` is HKDF-SHA256 of the X25519 shared
 * secret (RFC 7748), with the salt ephemeral public key ‖ recipient's public key and the info "sentinel field
 * x1 " ‖ key id. The ephemeral key is drawn anew for each process and after 65,536 values.
 *
 * Random nonces allow 2^32 values under one key of `v1`, over all processes (NIST SP 800-38D, 8.3): begin a new
 * key id before that. Old keys stay in the list to read; `write` names the one that encrypts.
 */

import {
  type KeyObject,
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  randomBytes,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { OptionError } from '../options.js';
import { type Value, parsed, written } from './values.js';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Values that one ephemeral key encrypts. */
const MAX_OF_ONE_KEY = 65_536;
const KEY_ID = /^[A-Za-z0-9_-]{1,64}$/;
const FORM = /^(v1|x1)\.([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]+)$/;
const CIPHER = 'aes-256-gcm';
// An X25519 key as DER (RFC 8410, 7 and 4): what stands before its 32 bytes.
const PRIVATE_DER = Buffer.from('302e020100300506032b656e04220420', 'hex');
const PUBLIC_DER = Buffer.from('302a300506032b656e032100', 'hex');

/** A field cannot be decrypted: no key of that id, another field's value, or one that was changed. */
export class NotDecrypted extends Error {
  override name = 'NotDecrypted';
}

interface FieldKey {
  encrypt(path: string, plain: Buffer, nonce: Buffer): string;
  decrypt(form: string, path: string, data: Buffer): Buffer;
}

/** A master key of at least 32 bytes, which encrypts and decrypts. */
export class SharedKey implements FieldKey {
  readonly #key: Buffer;

  /** Throws `OptionError` for a key that is too short. */
  constructor(readonly id: string, master: Buffer) {
    if (master.length < KEY_BYTES) throw new OptionError(`the key ${id} has under ${KEY_BYTES} bytes`);
    this.#key = derived(master, Buffer.alloc(0), 'v1', id);
  }

  encrypt(path: string, plain: Buffer, nonce: Buffer): string {
    return `v1.${this.id}.${sealed(this.#key, plain, nonce, boundTo('v1', this.id, path)).toString('base64url')}`;
  }

  decrypt(form: string, path: string, data: Buffer): Buffer {
    if (form !== 'v1') throw new NotDecrypted(`the key ${this.id} is no private key`);
    return opened(this.#key, data, boundTo('v1', this.id, path));
  }
}

/** An X25519 key: with the public half values are encrypted, with the private one decrypted. */
export class Recipient implements FieldKey {
  readonly #public: KeyObject;
  readonly #private: KeyObject | undefined;
  #ephemeral: { public: Buffer; key: Buffer } | undefined;
  #left = 0;

  constructor(readonly id: string, publicKey: KeyObject, privateKey?: KeyObject) {
    this.#public = publicKey;
    this.#private = privateKey;
  }

  encrypt(path: string, plain: Buffer, nonce: Buffer): string {
    if (this.#left === 0 || this.#ephemeral === undefined) this.begin(randomBytes(KEY_BYTES));
    this.#left -= 1;
    const { public: ephemeral, key } = this.#ephemeral as { public: Buffer; key: Buffer };
    const bytes = sealed(key, plain, nonce, boundTo('x1', this.id, path));
    return `x1.${this.id}.${Buffer.concat([ephemeral, bytes]).toString('base64url')}`;
  }

  /** Begin a new ephemeral key, of these random bytes. */
  begin(bytes: Buffer): void {
    const privateKey = createPrivateKey({ key: Buffer.concat([PRIVATE_DER, bytes]), format: 'der', type: 'pkcs8' });
    const ephemeral = raw(createPublicKey(privateKey));
    const shared = diffieHellman({ privateKey, publicKey: this.#public });
    const key = derived(shared, Buffer.concat([ephemeral, raw(this.#public)]), 'x1', this.id);
    this.#ephemeral = { public: ephemeral, key };
    this.#left = MAX_OF_ONE_KEY;
  }

  decrypt(form: string, path: string, data: Buffer): Buffer {
    if (form !== 'x1' || this.#private === undefined) {
      throw new NotDecrypted(`the key ${this.id} is there to encrypt only`);
    }
    const ephemeral = data.subarray(0, KEY_BYTES);
    let shared: Buffer;
    try {
      const publicKey = createPublicKey({ key: Buffer.concat([PUBLIC_DER, ephemeral]), format: 'der', type: 'spki' });
      shared = diffieHellman({ privateKey: this.#private, publicKey });
    } catch {
      throw new NotDecrypted('the field is cut off or was changed');
    }
    const key = derived(shared, Buffer.concat([ephemeral, raw(this.#public)]), 'x1', this.id);
    return opened(key, data.subarray(KEY_BYTES), boundTo('x1', this.id, path));
  }
}

/** The keys of one program: several to decrypt, one to encrypt. */
export class FieldKeys {
  readonly #keys: ReadonlyMap<string, FieldKey>;
  readonly #write: string;

  /** Throws `OptionError` where `write` names no key. */
  constructor(keys: ReadonlyMap<string, FieldKey>, write: string) {
    if (write !== '' && !keys.has(write)) {
      throw new OptionError(`encryption.write names the key ${write}, which is not among encryption.keys`);
    }
    this.#keys = keys;
    this.#write = write;
  }

  /**
   * Read `{"write": id, "keys": {id: {"file": path} | {"recipient": path} | {"private": path}}}`. `file` holds a
   * master key: 32 bytes as they are, in hex, or in base64url; `recipient` and `private` an X25519 key as PEM.
   * Throws `OptionError`.
   */
  static of(options: Readonly<Record<string, unknown>>): FieldKeys {
    const { keys, write = '', ...others } = options;
    if (Object.keys(others).length > 0 || typeof keys !== 'object' || keys === null || typeof write !== 'string') {
      throw new OptionError('privacy.encryption has a text `write` and an object `keys`');
    }
    return new FieldKeys(new Map(Object.entries(keys).map(([id, source]) => [id, keyOf(id, source)])), write);
  }

  /** What stands in place of a field's value. */
  encrypt(path: string, value: Value, draw: (bytes: number) => Buffer = randomBytes): Value {
    const key = this.#keys.get(this.#write);
    if (key === undefined) throw new NotDecrypted('no key is there to encrypt with');
    return new Map([['$enc', key.encrypt(path, Buffer.from(written(value)), draw(NONCE_BYTES))]]);
  }

  /** A field's value. `path` is the field's names with dots between them. Throws `NotDecrypted`. */
  decrypt(path: string, text: string): unknown {
    return JSON.parse(this.plain(path, text)) as unknown;
  }

  /** An entry, as JSON, with every field decrypted whose key is there; the others stay. Throws `NotDecrypted`. */
  open(entry: string): string {
    return written(this.opened(parsed(entry), ''));
  }

  private plain(path: string, text: string): string {
    const found = FORM.exec(text);
    if (found === null) throw new NotDecrypted('this is no encrypted field of a version that is known here');
    const [, form, id, data] = found as unknown as [string, string, string, string];
    const key = this.#keys.get(id);
    if (key === undefined) throw new NotDecrypted(`there is no key ${id}`);
    return key.decrypt(form, path, Buffer.from(data, 'base64url')).toString('utf8');
  }

  private opened(value: Value, path: string): Value {
    if (Array.isArray(value)) return value.map((each) => this.opened(each, path));
    if (!(value instanceof Map)) return value;
    const text = value.get('$enc');
    if (value.size === 1 && typeof text === 'string') {
      const id = FORM.exec(text)?.[2];
      return id !== undefined && this.#keys.has(id) ? parsed(this.plain(path, text)) : value;
    }
    const below = (name: string): string => (path === '' ? name : `${path}.${name}`);
    return new Map(Array.from(value, ([name, each]) => [name, this.opened(each, below(name))]));
  }
}

function keyOf(id: string, source: unknown): FieldKey {
  if (!KEY_ID.test(id)) throw new OptionError('a key id has 1 to 64 letters, digits, - and _');
  const members = typeof source === 'object' && source !== null ? Object.entries(source) : [];
  const [kind, path] = members[0] ?? [];
  if (members.length !== 1 || typeof path !== 'string' || !['file', 'recipient', 'private'].includes(kind ?? '')) {
    throw new OptionError(`encryption.keys.${id} has one of file, recipient and private`);
  }
  let data: Buffer;
  try {
    data = readFileSync(path);
  } catch (error) {
    throw new OptionError(`the key file ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'error'}`);
  }
  return kind === 'file' ? new SharedKey(id, masterKey(data)) : recipientOf(id, kind === 'private', data, path);
}

/** The key that a file holds: 64 hex digits, 43 characters of base64url, or its bytes. */
export function masterKey(data: Buffer): Buffer {
  const text = data.toString('latin1').trim();
  if (/^[0-9A-Fa-f]{64}$/.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9_-]{43}=?$/.test(text)) return Buffer.from(text, 'base64url');
  return data;
}

function recipientOf(id: string, isPrivate: boolean, data: Buffer, path: string): Recipient {
  try {
    const privateKey = isPrivate ? createPrivateKey(data) : undefined;
    const publicKey = privateKey === undefined ? createPublicKey(data) : createPublicKey(privateKey);
    if (publicKey.asymmetricKeyType === 'x25519') return new Recipient(id, publicKey, privateKey);
  } catch {
    // what it says may quote the file
  }
  throw new OptionError(`the key file ${path} holds no X25519 key as PEM without a password`);
}

function raw(key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(PUBLIC_DER.length);
}

function derived(secret: Buffer, salt: Buffer, form: string, id: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, salt, `sentinel field ${form} ${id}`, KEY_BYTES));
}

function boundTo(form: string, id: string, path: string): Buffer {
  return Buffer.from(['SF1', form, id, path].join('\0'));
}

function sealed(key: Buffer, plain: Buffer, nonce: Buffer, bound: Buffer): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function opened(key: Buffer, data: Buffer, bound: Buffer): Buffer {
  if (data.length < NONCE_BYTES + TAG_BYTES) throw new NotDecrypted('the field is cut off or was changed');
  const decipher = createDecipheriv(CIPHER, key, data.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(bound);
  decipher.setAuthTag(data.subarray(data.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(data.subarray(NONCE_BYTES, data.length - TAG_BYTES)), decipher.final()]);
  } catch {
    throw new NotDecrypted("the field was changed, or it is another field's value");
  }
}
