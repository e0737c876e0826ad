/**
 * Sentinel's own wire, POST /v1/entries (docs/wire.md): exactly once, and the receipt is checked.
 *
 * A server that has the batch already answers with its receipt, or with 409 where the entries differ because some were
 * lost here meanwhile; both say that it is stored. Only where a batch's answer was lost, and then the way got a smaller
 * limit (413), so that the batch goes on in parts, its entries can be there twice.
 */

import * as zlib from 'node:zlib';
import { type Batch, batchId, contentId, type Outcome, type Transport } from '../batches.js';
import { type Answer, Door, NoAnswer } from '../door.js';
import type { Settings } from '../options.js';
import { endOf, fault, parseReceipt, type Receipt, refusedPlaces } from '../receipts.js';
import { Signer } from '../signing.js';
import { NoToken, Tokens } from '../tokens.js';
import { parsed } from './given.js';

const LINE_BREAK = Buffer.from('\n');
const AFTER_CAP = 300_000;
const SHUT = 10_000; // milliseconds: ten failed attempts at a token are allowed a minute
const MAX_ENDS = 64;
const SMALL = 512; // bytes that are not worth compressing

type Compress = (bytes: Buffer) => Buffer;
const { zstdCompressSync } = zlib as unknown as { zstdCompressSync?: Compress };

/** Return the body and its encoding; zstd where this Node has it (22.15 on), else gzip. */
function encoded(bytes: Buffer, compression: Settings['compression']): [Buffer, string] {
  if (compression === 'none' || bytes.length <= SMALL) return [bytes, ''];
  if (compression === 'zstd' && zstdCompressSync) return [zstdCompressSync(bytes), 'zstd'];
  return [zlib.gzipSync(bytes, { level: 1 }), 'gzip'];
}

/** Return the milliseconds of `Retry-After` (RFC 9110, 10.2.3), 5 minutes at most; 0 where it says nothing. */
export function retryAfter(value: string | undefined, now: number): number {
  if (!value) return 0;
  const after = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Number.isFinite(after) ? Math.min(Math.max(after, 0), AFTER_CAP) : 0;
}

function signerOf(path: string | undefined): Signer {
  if (path) return Signer.fromFile(path);
  throw new TypeError('integrity ed25519 wants signingKeyFile');
}

export class HttpTransport implements Transport {
  readonly maxEntries = 10_000;
  readonly maxBytes = 4_000_000;
  private readonly door: Door;
  private readonly tokens: Tokens | undefined;
  private readonly signer: Signer | undefined;
  /** By producer: behind which entry of which chain its last batch ended. */
  private readonly ends = new Map<string, string>();

  constructor(
    readonly name: string,
    private readonly settings: Settings,
  ) {
    const { url, certificate, certificateKey, roots, service, apiKeyFile } = settings;
    if (!url) throw new TypeError('http needs a url');
    this.door = new Door({ url, certificate, certificateKey, roots });
    if (settings.integrity === 'ed25519') this.signer = signerOf(settings.signingKeyFile);
    if (this.door.secure && apiKeyFile) this.tokens = new Tokens(this.door, service, apiKeyFile);
  }

  async send(batch: Batch, milliseconds: number): Promise<Outcome> {
    const until = performance.now() + milliseconds;
    const id = batchId(batch);
    try {
      const answer = await this.post(batch, id, until);
      if (answer.status !== 409) return this.outcome(batch, id, answer);
      // It was stored when what is lost here by now was still there (docs/clients.md).
      if (batch.entries.length < batch.count) return { kind: 'sent' };
      // The id stands for other entries: the folder was copied, and the copy used the same numbers.
      const other = contentId(batch);
      return this.outcome(batch, other, await this.post(batch, other, until));
    } catch (error) {
      if (error instanceof NoAnswer) return { kind: 'later', why: error.message, after: 0 };
      if (error instanceof NoToken) return { kind: 'later', why: error.message, after: SHUT };
      throw error;
    }
  }

  close(): void {
    this.door.close();
  }

  /** Send it, with a new token where the server does not take the one we have. */
  private async post(batch: Batch, id: Buffer, until: number): Promise<Answer> {
    const answer = await this.posted(batch, id, until);
    if (answer.status !== 401 || !this.tokens) return answer;
    this.tokens.drop();
    return this.posted(batch, id, until);
  }

  private async posted(batch: Batch, id: Buffer, until: number): Promise<Answer> {
    const left = (): number => Math.max(until - performance.now(), 1);
    const token = await this.tokens?.get(left());
    const { service } = this.settings;
    const lines = batch.entries.flatMap((entry) => [entry, LINE_BREAK]);
    const [body, encoding] = encoded(Buffer.concat(lines), this.settings.compression);
    const headers = {
      'Content-Type': 'application/x-ndjson',
      'Content-Length': body.length,
      Accept: 'application/json',
      'Sentinel-Batch-Id': id.toString('hex'),
      'Sentinel-Instance': batch.producer,
      'Sentinel-Producer': batch.producer,
      'Sentinel-Sequence': batch.first,
      'Sentinel-Receipt': 'full',
      ...(batch.again ? { 'Sentinel-Since': this.ends.get(batch.producer) ?? '0' } : {}),
      ...this.signer?.headers(batch),
      ...(encoding ? { 'Content-Encoding': encoding } : {}),
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...(service && !this.door.secure ? { 'Sentinel-Service': Buffer.from(service).toString('latin1') } : {}),
    };
    return this.door.request({ method: 'POST', path: '/v1/entries?partial=true', headers, body }, left());
  }

  /** Whoever stands between may answer with any status: only the server's own word ends a batch. */
  private outcome(batch: Batch, id: Buffer, answer: Answer): Outcome {
    const { status } = answer;
    const told = parsed(answer.body) ?? {};
    if (status === 200) return this.stored(batch, id, answer.body);
    if (status === 413) return { kind: 'large', why: 'status 413' };
    if (status === 400 && told['error'] === 'Malformed') return { kind: 'refused', why: '400 Malformed' };
    if (status === 409 && told['error'] === 'Conflict') return { kind: 'refused', why: '409 Conflict' };
    const after = retryAfter(answer.headers['retry-after'], Date.now());
    const shut = status === 401 || status === 403;
    return { kind: 'later', why: `status ${status}`, after: shut ? Math.max(after, SHUT) : after };
  }

  /** An answer that is no receipt says nothing: the same batch is sent again. */
  private stored(batch: Batch, id: Buffer, body: Buffer): Outcome {
    let receipt: Receipt;
    try {
      receipt = parseReceipt(body.toString());
    } catch {
      receipt = {};
    }
    if (!['chain', 'batch_id', 'head', 'count'].some((name) => name in receipt)) {
      return { kind: 'later', why: 'status 200 with no receipt: it is no gateway of Sentinel', after: 0 };
    }
    const { entries } = batch;
    const altered = fault(receipt, entries, id, this.settings.service);
    this.note(batch.producer, receipt, altered === '');
    return { kind: 'sent', receipt, refused: refusedPlaces(receipt, entries.length), altered };
  }

  /** Remember where a producer's next batch cannot be before: then the server need not look farther. */
  private note(producer: string, receipt: Receipt, fits: boolean): void {
    const end = fits && this.ends.size <= MAX_ENDS ? endOf(receipt) : undefined;
    if (end === undefined) this.ends.delete(producer);
    else this.ends.set(producer, end);
  }
}
