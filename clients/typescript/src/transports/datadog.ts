/**
 * To Datadog: `POST /api/v2/logs` (Logs API, "Send logs").
 *
 * The intake has no batch ids. A batch whose answer was lost is sent again, so its logs can be there twice.
 */

import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { gzipSync } from 'node:zlib';
import type { Batch, Outcome, Transport } from '../batches.js';
import { codeOf } from '../disk.js';
import { Door, NoAnswer } from '../door.js';
import type { TransportOptions } from '../options.js';
import { milliseconds, parsed, required, text } from './given.js';
import { retryAfter } from './http.js';

const SITES = ['datadoghq.com', 'us3.datadoghq.com', 'us5.datadoghq.com', 'datadoghq.eu', 'ap1.datadoghq.com',
  'ap2.datadoghq.com', 'uk1.datadoghq.com', 'ddog-gov.com', 'us2.ddog-gov.com'];
const SHUT = 60_000;

/**
 * Sends logs to a site's intake. The API key is read from `api_key_file` for each batch.
 *
 * Options: `api_key_file`, `site`, `service`, `source`, `tags`, `hostname`, `endpoint`. Of the limits (1,000 logs, 5 MB
 * unpacked, 1 MB a log) there is room left for what is put round an entry. Fields of the entry stay attributes; `level`
 * is Datadog's `status`, `time` its `timestamp`.
 */
export class DatadogTransport implements Transport {
  readonly maxEntries = 1_000;
  readonly maxBytes = 4_000_000;
  private readonly door: Door;
  private readonly keyFile: string;
  private readonly told: Record<string, string>;
  private readonly host: string;

  constructor(
    readonly name: string,
    options: TransportOptions,
    service: string,
  ) {
    const site = text(options, 'site', 'datadoghq.com');
    const endpoint = text(options, 'endpoint');
    if (!endpoint && !SITES.includes(site)) throw new TypeError(`datadog: site has to be one of ${SITES.join(', ')}`);
    this.door = new Door({ url: endpoint || `https://http-intake.logs.${site}` });
    this.keyFile = required(options, 'api_key_file');
    this.host = text(options, 'hostname') || hostname();
    const told = {
      service: text(options, 'service', service),
      ddsource: text(options, 'source', 'sentinel'),
      ddtags: text(options, 'tags'),
    };
    this.told = Object.fromEntries(Object.entries(told).filter(([, value]) => value));
  }

  async send(batch: Batch, milliseconds: number): Promise<Outcome> {
    let key: string;
    try {
      key = readFileSync(this.keyFile, 'utf8').trim();
    } catch (error) {
      return { kind: 'later', why: `API key file: ${codeOf(error)}`, after: SHUT };
    }
    const body = gzipSync(JSON.stringify(batch.entries.map((entry) => this.log(entry))), { level: 1 });
    const headers = {
      'DD-API-KEY': key,
      'Content-Type': 'application/json',
      'Content-Encoding': 'gzip',
      'Content-Length': body.length,
    };
    try {
      const request = { method: 'POST', path: '/api/v2/logs', headers, body };
      const answer = await this.door.request(request, milliseconds);
      return outcome(answer.status, retryAfter(answer.headers['retry-after'], Date.now()));
    } catch (error) {
      if (error instanceof NoAnswer) return { kind: 'later', why: error.message, after: 0 };
      throw error;
    }
  }

  close(): void {
    this.door.close();
  }

  private log(entry: Buffer): Record<string, unknown> {
    const found = parsed(entry);
    if (!found) return { hostname: this.host, message: entry.toString(), ...this.told };
    const { level, time: _time, ...rest } = found;
    const timestamp = milliseconds(found);
    return {
      hostname: this.host,
      ...rest,
      ...(level === undefined ? {} : { status: level }),
      ...(timestamp === undefined ? {} : { timestamp }),
      ...this.told,
    };
  }
}

function outcome(status: number, after: number): Outcome {
  if (status >= 200 && status < 300) return { kind: 'sent' };
  if (status === 413) return { kind: 'large', why: 'Datadog answers 413' };
  if (status === 400) return { kind: 'refused', why: 'Datadog answers 400' };
  const shut = status === 401 || status === 403;
  return { kind: 'later', why: `Datadog answers ${status}`, after: shut ? Math.max(after, SHUT) : after };
}
