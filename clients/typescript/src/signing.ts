/**
 * Signatures of batches: the producer's own, so that a server cannot say that it was sent something else.
 *
 * A batch is signed with Ed25519 (RFC 8032) over
 *
 *     "SS1" ‖ batch id (16 bytes) ‖ SHA-256 of the entries with LF between them
 *
 * The id commits to the producer, the number of the first entry, and the length of the range. Requests carry
 * `Sentinel-Signature`, the signature in base64url without padding, and `Sentinel-Key-Id`: the first 16 bytes of the
 * SHA-256 of the raw public key, in hex. This signs what is stored, however it travelled.
 */

import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { type Batch, batchId } from './batches.js';

/** Return the bytes that a batch's signature is made of. */
export function signedBytes(batch: Batch): Buffer {
  const content = createHash('sha256');
  batch.entries.forEach((entry, place) => content.update(place === 0 ? '' : '\n').update(entry));
  return Buffer.concat([Buffer.from('SS1'), batchId(batch), content.digest()]);
}

/** Signs batches with one private key. */
export class Signer {
  readonly keyId: string;

  constructor(private readonly key: KeyObject) {
    const raw = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x!, 'base64url');
    this.keyId = createHash('sha256').update(raw).digest('hex').slice(0, 32);
  }

  /** Read a private key: PEM, PKCS #8, without a password, for its owner alone (0600). Raises TypeError. */
  static fromFile(path: string): Signer {
    let key: KeyObject;
    try {
      if (process.platform !== 'win32' && statSync(path).mode & 0o077) throw new TypeError('open to others');
      key = createPrivateKey(readFileSync(path));
    } catch (error) {
      const open = error instanceof TypeError && error.message === 'open to others';
      throw new TypeError(open ? `signingKeyFile is open to others: chmod 600 ${path}` : 'signingKeyFile holds no key');
    }
    if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('signingKeyFile holds a key that is not Ed25519');
    return new Signer(key);
  }

  /** Return the headers that a batch is sent with. */
  headers(batch: Batch): Record<string, string> {
    const signature = sign(null, signedBytes(batch), this.key).toString('base64url');
    return { 'Sentinel-Signature': signature, 'Sentinel-Key-Id': this.keyId };
  }
}
