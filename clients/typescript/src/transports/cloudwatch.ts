/**
 * To Amazon CloudWatch Logs: `PutLogEvents` (API version 2014-03-28), signed by hand, without an SDK.
 *
 * The API has no batch ids. A batch whose answer was lost is sent again, so its events can be there twice; so can those
 * of a batch that takes several requests, which a kill interrupts. Within one process a request that was answered is
 * not sent again.
 */

import { CredentialChain, signed } from '../aws.js';
import { type Batch, batchId, type Outcome, type Transport } from '../batches.js';
import { type Answer, Door, NoAnswer } from '../door.js';
import type { TransportOptions } from '../options.js';
import { flag, milliseconds, parsed, required, text } from './given.js';
import { retryAfter } from './http.js';

// Of the API Reference, PutLogEvents: a request holds 10,000 events, 1,048,576 bytes with 26 more for each event, and
// 24 hours; its events are in order of time.
const EVENTS = 10_000;
const BYTES = 1_048_576;
const OVERHEAD = 26;
const SPAN = 24 * 3_600_000; // milliseconds
const SHUT = 10_000;
const NO_RIGHT = /^(AccessDenied|UnrecognizedClient|InvalidSignature|ExpiredToken|NotAuthorized)/;

interface Event {
  /** Epoch milliseconds. */
  time: number;
  /** Where it stands in the batch. */
  place: number;
  message: string;
}

/**
 * Writes to one stream of a log group. Options: `group`, `stream`, `region`, `create`, `endpoint`.
 *
 * A missing stream is made, and with `create` a missing group. `stream` is by default the producer's id, so that
 * processes have streams of their own. `region` is by default that of `AWS_REGION` or `AWS_DEFAULT_REGION`.
 */
export class CloudWatchTransport implements Transport {
  readonly maxEntries = EVENTS;
  readonly maxBytes = BYTES - EVENTS * OVERHEAD;
  private readonly group: string;
  private readonly stream: string;
  private readonly region: string;
  private readonly create: boolean;
  private readonly door: Door;
  private done = { batch: '', requests: 0, refused: [] as number[] }; // of the batch in hand

  constructor(
    readonly name: string,
    options: TransportOptions,
    private readonly chain = new CredentialChain(),
    environ: NodeJS.ProcessEnv = process.env,
  ) {
    this.group = required(options, 'group');
    this.stream = text(options, 'stream');
    this.create = flag(options, 'create');
    this.region = text(options, 'region') || environ['AWS_REGION'] || environ['AWS_DEFAULT_REGION'] || '';
    if (!/^[a-z0-9-]+$/.test(this.region)) throw new TypeError('cloudwatch wants region, or AWS_REGION');
    const suffix = this.region.startsWith('cn-') ? '.cn' : '';
    this.door = new Door({ url: text(options, 'endpoint') || `https://logs.${this.region}.amazonaws.com${suffix}` });
  }

  async send(batch: Batch, milliseconds: number): Promise<Outcome> {
    const until = performance.now() + milliseconds;
    const id = batchId(batch).toString('hex');
    if (this.done.batch !== id) this.done = { batch: id, requests: 0, refused: [] };
    try {
      const parts = spans(eventsOf(batch.entries, Date.now()));
      for (const part of parts.slice(this.done.requests)) {
        const failed = await this.put(this.stream || batch.producer, part, until);
        if (failed) return failed;
        this.done.requests++;
      }
    } catch (error) {
      if (error instanceof NoAnswer) return { kind: 'later', why: error.message, after: 0 };
      throw error;
    }
    const refused = this.done.refused.sort((one, other) => one - other);
    this.done = { batch: '', requests: 0, refused: [] };
    return { kind: 'sent', refused };
  }

  close(): void {
    this.door.close();
  }

  /** Send one request; nothing where it was taken. */
  private async put(stream: string, part: readonly Event[], until: number): Promise<Outcome | undefined> {
    const logEvents = part.map(({ time, message }) => ({ timestamp: time, message }));
    const asked = { logGroupName: this.group, logStreamName: stream, logEvents };
    for (let round = 0; round < 2; round++) {
      const answer = await this.call('PutLogEvents', asked, until);
      const kind = kindOf(answer);
      if (answer.status === 200) {
        this.done.refused.push(...rejected(part, told(answer)['rejectedLogEventsInfo']));
        return undefined;
      }
      if (kind === 'DataAlreadyAcceptedException') return undefined;
      if (kind !== 'ResourceNotFoundException') return this.failed(answer, kind);
      const missing = await this.make(stream, until);
      if (missing) return missing;
    }
    return { kind: 'later', why: 'CloudWatch does not find the stream that was made', after: 0 };
  }

  /** Make the stream, and the group where that is wanted; nothing where they are there now. */
  private async make(stream: string, until: number): Promise<Outcome | undefined> {
    const names = { logGroupName: this.group, logStreamName: stream };
    const there = (answer: Answer): boolean =>
      answer.status === 200 || kindOf(answer) === 'ResourceAlreadyExistsException';
    let answer = await this.call('CreateLogStream', names, until);
    if (kindOf(answer) === 'ResourceNotFoundException' && this.create) {
      answer = await this.call('CreateLogGroup', { logGroupName: this.group }, until);
      if (there(answer)) answer = await this.call('CreateLogStream', names, until);
    }
    if (there(answer)) return undefined;
    const kind = kindOf(answer);
    if (kind !== 'ResourceNotFoundException') return this.failed(answer, kind);
    return { kind: 'later', why: `there is no log group ${this.group}`, after: SHUT };
  }

  private failed(answer: Answer, kind: string): Outcome {
    if (NO_RIGHT.test(kind)) {
      this.chain.forget();
      return { kind: 'later', why: `CloudWatch refuses the credentials: ${kind}`, after: SHUT };
    }
    const after = retryAfter(answer.headers['retry-after'], Date.now());
    return { kind: 'later', why: `CloudWatch answers ${answer.status} ${kind}`.trim(), after };
  }

  private async call(action: string, asked: object, until: number): Promise<Answer> {
    const body = Buffer.from(JSON.stringify(asked));
    const type = 'application/x-amz-json-1.1';
    const plain = { Host: this.door.url.host, 'Content-Type': type, 'X-Amz-Target': `Logs_20140328.${action}` };
    const headers = signed(await this.chain.keys(), this.region, 'logs', plain, body, Date.now());
    const request = { method: 'POST', path: '/', headers: { ...headers, 'Content-Length': body.length }, body };
    return await this.door.request(request, Math.max(until - performance.now(), 1));
  }
}

function eventsOf(entries: readonly Buffer[], now: number): Event[] {
  return entries.map((entry, place) => {
    const time = milliseconds(parsed(entry)) ?? now;
    return { time, place, message: entry.toString() };
  });
}

/** Return events in order of time, in parts that span less than 24 hours each. */
export function spans(events: readonly Event[]): Event[][] {
  const parts: Event[][] = [];
  for (const event of [...events].sort((one, other) => one.time - other.time || one.place - other.place)) {
    const part = parts.at(-1);
    if (part && event.time - part[0]!.time < SPAN) part.push(event);
    else parts.push([event]);
  }
  return parts;
}

/**
 * Return the places of the events that were not taken: too old, too new, or over the retention time.
 *
 * Of the API Reference, RejectedLogEventsInfo: the first two are ends, the third is a beginning.
 */
export function rejected(part: readonly Event[], info: unknown): number[] {
  const all = (typeof info === 'object' && info !== null ? info : {}) as Record<string, unknown>;
  const index = (name: string, otherwise: number): number =>
    Number.isInteger(all[name]) && (all[name] as number) >= 0 ? (all[name] as number) : otherwise;
  const old = Math.max(index('tooOldLogEventEndIndex', 0), index('expiredLogEventEndIndex', 0));
  const young = index('tooNewLogEventStartIndex', part.length);
  return part.filter((_, at) => at < old || at >= young).map(({ place }) => place);
}

function told(answer: Answer): Record<string, unknown> {
  return parsed(answer.body) ?? {};
}

/** Return the name of an error (AWS JSON 1.1: `__type`, behind a `#` where it has a namespace). */
function kindOf(answer: Answer): string {
  const kind = String(told(answer)['__type'] ?? '').split('#').at(-1)!;
  return /^[A-Za-z0-9]{1,80}$/.test(kind) ? kind : '';
}
