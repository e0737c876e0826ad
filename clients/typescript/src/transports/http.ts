/**
 * Sentinel's own wire, POST /v1/entries (docs/wire.md): exactly once, and the receipt is checked.
 *
 * A server that has the batch already answers with its receipt, or with 409 where the entries differ because some were
 * lost here meanwhile; both say that it is stored.
 */

import * as zlib from 'node:zlib';
import { type Batch, batchId, type Outcome, type Transport } from '../batches.js';
import { type Answer, Door, NoAnswer } from '../door.js';
import type { Settings } from '../options.js';
import { fits, parseReceipt, taken } from '../receipts.js';
import { NoToken, Tokens } from '../tokens.js';

const LINE_BREAK = Buffer.from('\n');
const AFTER_CAP = 300_000;

type Compress = (bytes: Buffer) => Buffer;
const { zstdCompressSync } = zlib as unknown as { zstdCompressSync?: Compress };

/** Return the body and its encoding; zstd where this Node has it (22.15 on), else gzip. */
function encoded(bytes: Buffer, compression: Settings['compression']): [Buffer, string] {
  if (compression === 'none') return [bytes, 'identity'];
  if (compression === 'zstd' && zstdCompressSync) return [zstdCompressSync(bytes), 'zstd'];
  return [zlib.gzipSync(bytes, { level: 1 }), 'gzip'];
}

/** Return the milliseconds of `Retry-After` (RFC 9110, 10.2.3), 5 minutes at most; 0 where it says nothing. */
export function retryAfter(value: string | undefined, now: number): number {
  if (!value) return 0;
  const after = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(after) ? Math.min(Math.max(after, 0), AFTER_CAP) : 0;
}

export class HttpTransport implements Transport {
  readonly maxEntries = 10_000;
  readonly maxBytes = 4_000_000;
  private readonly door: Door;
  private readonly tokens: Tokens | undefined;

  constructor(
    readonly name: string,
    private readonly settings: Settings,
  ) {
    const { url, certificate, certificateKey, roots, service, apiKeyFile } = settings;
    if (!url) throw new TypeError('http needs a url');
    this.door = new Door({ url, certificate, certificateKey, roots });
    if (this.door.secure && apiKeyFile) this.tokens = new Tokens(this.door, service, apiKeyFile);
  }

  async send(batch: Batch, milliseconds: number): Promise<Outcome> {
    const until = performance.now() + milliseconds;
    try {
      let answer = await this.post(batch, until);
      if (answer.status === 401 && this.tokens) {
        this.tokens.drop();
        answer = await this.post(batch, until);
      }
      return this.outcome(batch, answer);
    } catch (error) {
      if (error instanceof NoAnswer || error instanceof NoToken) return { kind: 'later', why: error.message, after: 0 };
      throw error;
    }
  }

  close(): void {
    this.door.close();
  }

  private async post(batch: Batch, until: number): Promise<Answer> {
    const left = (): number => Math.max(until - performance.now(), 1);
    const token = await this.tokens?.get(left());
    const lines = batch.entries.flatMap((entry) => [entry, LINE_BREAK]);
    const [body, encoding] = encoded(Buffer.concat(lines), this.settings.compression);
    const headers = {
      'Content-Type': 'application/x-ndjson',
      'Content-Encoding': encoding,
      'Content-Length': body.length,
      Accept: 'application/json',
      'Sentinel-Batch-Id': batchId(batch).toString('hex'),
      'Sentinel-Instance': batch.producer,
      'Sentinel-Producer': batch.producer,
      'Sentinel-Sequence': batch.first,
      'Sentinel-Receipt': 'full',
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...(this.door.secure ? {} : { 'Sentinel-Service': this.settings.service }),
    };
    return this.door.request({ method: 'POST', path: '/v1/entries?partial=true', headers, body }, left());
  }

  private outcome(batch: Batch, answer: Answer): Outcome {
    const { status } = answer;
    if (status === 200) return this.stored(batch, answer.body);
    if (status === 409) return { kind: 'sent' };
    if (status === 413) return { kind: 'large', why: 'status 413' };
    if (status === 400 || status === 422) return { kind: 'refused', why: `status ${status}` };
    const after = retryAfter(answer.headers['retry-after'], Date.now());
    return { kind: 'later', why: `status ${status}`, after };
  }

  /** An answer that cannot be read is no receipt: the same batch is asked for again. */
  private stored(batch: Batch, body: Buffer): Outcome {
    let receipt: Record<string, unknown>;
    try {
      receipt = parseReceipt(body.toString());
    } catch {
      return { kind: 'later', why: 'the answer is no receipt', after: 0 };
    }
    if (!Number.isSafeInteger(receipt['count'])) return { kind: 'later', why: 'the answer is no receipt', after: 0 };
    const kept = taken(receipt, batch.entries);
    const altered = kept !== undefined && !fits(receipt, this.settings.service, kept);
    return { kind: 'sent', receipt, refused: batch.entries.length - (kept?.length ?? (receipt['count'] as number)), altered };
  }
}
