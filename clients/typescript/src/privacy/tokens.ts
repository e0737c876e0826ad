/**
 * Tokens: what stands in place of a value, the same for the same value, so that entries can be correlated.
 *
 *     token = base32(HMAC-SHA256(key, kind ‖ 0x00 ‖ value), first 8 bytes)      13 small letters and digits 2 to 7
 *
 * A token says nothing to who has no key; who has it can try values, so the key file is as secret as the values.
 * Numbers have one token however they are written: of cards, phones and accounts the separators are left out.
 */

import { createHmac, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { OptionError } from '../options.js';

const MIN_KEY = 16; // bytes
const KEY_NAME = 'privacy.key';
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** The form of a value that its token is made of. */
export function normal(kind: string, value: string): string {
  const plain = (): string => value.replace(/[^A-Za-z0-9]+/g, '');
  if (kind === 'card' || kind === 'ssn') return plain();
  if (kind === 'phone') return (value.startsWith('+') ? '+' : '') + plain();
  if (kind === 'iban') return plain().replace(/[a-z]+/g, (each) => each.toUpperCase());
  if (kind === 'email') return value.replaceAll('%40', '@').replace(/[A-Z]+/g, (each) => each.toLowerCase());
  return value;
}

/** Makes tokens under one key. Shows the key to nobody. */
export class Tokens {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /** The token of a value. */
  token(kind: string, value: string): string {
    const text = `${kind}\0${normal(kind, value)}`.toWellFormed();
    const digest = createHmac('sha256', this.#key).update(text, 'utf8').digest();
    let bits = digest.readBigUInt64BE(0) << 1n; // 65 bits are 13 letters
    let token = '';
    for (let letter = 0; letter < 13; letter += 1) {
      token = BASE32.charAt(Number(bits & 31n)) + token;
      bits >>= 5n;
    }
    return token;
  }
}

/** The key that a file holds: its bytes without white space at the end. Throws `OptionError`. */
export function readKey(path: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(path);
  } catch (error) {
    throw new OptionError(`the key file ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'error'}`);
  }
  let end = bytes.length;
  while (end > 0 && [9, 10, 11, 12, 13, 32].includes(bytes[end - 1] as number)) end -= 1;
  if (end >= MIN_KEY) return bytes.subarray(0, end);
  throw new OptionError(`the key file ${path} has under ${MIN_KEY} bytes; 32 random ones are a good key`);
}

/**
 * The key of a root of slots, drawn at random the first time, for its owner alone (0600). It is written whole
 * before it has its name: of processes that start at once, one's key is everybody's. Throws what the disk throws.
 */
export function ownKey(root: string): Buffer {
  const path = join(root, KEY_NAME);
  if (!fs.existsSync(path)) {
    fs.mkdirSync(root, { recursive: true, mode: 0o700 });
    draw(root, path);
  }
  return readKey(path);
}

function draw(root: string, path: string): void {
  const draft = join(root, `.${KEY_NAME}.${process.pid}.${randomBytes(4).toString('hex')}`);
  const file = fs.openSync(draft, 'wx', 0o600);
  try {
    fs.writeSync(file, `${randomBytes(32).toString('hex')}\n`);
    fs.fsyncSync(file);
    fs.linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    fs.closeSync(file);
    fs.unlinkSync(draft);
  }
}
