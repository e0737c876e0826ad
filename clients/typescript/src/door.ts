/**
 * HTTP requests with a total deadline, over mutual TLS, with certificate files that are read again when they change.
 *
 * One connection is kept open. A server that sends slowly, or without end, is cut off at the deadline or the bound.
 */

import * as fs from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { createSecureContext } from 'node:tls';
import { codeOf } from './disk.js';
import { proxyFor, TunnelAgent } from './proxies.js';

export interface DoorOptions {
  url: string;
  certificate?: string | undefined;
  certificateKey?: string | undefined;
  roots?: string | undefined;
}

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}

export interface Request {
  method: string;
  path: string;
  headers: Record<string, string | number>;
  body: Buffer | string;
}

/** No answer came. The message is the kind of the error, for people. */
export class NoAnswer extends Error {
  override name = 'NoAnswer';
}

const MAX_ANSWER = 4 << 20;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

function readFiles(paths: readonly (string | undefined)[]): (Buffer | undefined)[] {
  return paths.map((path) => (path ? fs.readFileSync(path) : undefined));
}

/** Return what tells that a file was changed or replaced. */
function stamp(path: string | undefined): string {
  if (!path) return '';
  const { ino, size, mtimeMs } = fs.statSync(path);
  return `${ino}.${size}.${mtimeMs}`;
}

export class Door {
  readonly url: URL;
  private agent: http.Agent | undefined;
  private stamps = '';

  /** Raises TypeError where the URL is none, or would send in the clear to another machine. */
  constructor(private readonly options: DoorOptions) {
    this.url = new URL(options.url);
    const plain = this.url.protocol === 'http:' && LOOPBACK.test(this.url.hostname);
    if (this.url.protocol !== 'https:' && !plain) throw new TypeError('url has to be https://, or http:// on loopback');
  }

  /** Say whether there is a door to show a certificate at. */
  get secure(): boolean {
    return this.url.protocol === 'https:';
  }

  /** Send a request and read its answer, within so many milliseconds. Rejects with NoAnswer. */
  async request(request: Request, milliseconds: number): Promise<Answer> {
    let agent: http.Agent;
    try {
      agent = this.connections();
    } catch (error) {
      throw new NoAnswer(`certificate files: ${codeOf(error)}`);
    }
    const base = this.url.pathname.replace(/\/$/, '');
    const { hostname, port } = this.url;
    const host = hostname.replace(/^\[|\]$/g, '');
    const options = { agent, host, port, method: request.method, path: base + request.path, headers: request.headers };
    return await exchange(this.secure ? https : http, options, request.body, milliseconds);
  }

  close(): void {
    this.agent?.destroy();
    this.agent = undefined;
  }

  private connections(): http.Agent {
    const { certificate, certificateKey, roots } = this.options;
    const files = [certificate, certificateKey ?? certificate, roots];
    const stamps = this.secure ? files.map(stamp).join(' ') : '';
    if (this.agent && stamps === this.stamps) return this.agent;
    this.close();
    const kept = { keepAlive: true, maxSockets: 1 };
    if (!this.secure) return (this.agent = new http.Agent(kept));
    const [cert, key, ca] = readFiles(files);
    const own = cert && key ? { cert, key } : {};
    // Made here, so that files that do not fit each other are told as such.
    const secureContext = createSecureContext({ ...own, ...(ca ? { ca } : {}), minVersion: 'TLSv1.2' });
    const options: https.AgentOptions = { ...kept, secureContext };
    const proxy = proxyFor(this.url.hostname);
    this.agent = proxy ? new TunnelAgent(proxy, options) : new https.Agent(options);
    this.stamps = stamps;
    return this.agent;
  }
}

/** Send one request and read its answer, within so many milliseconds. Rejects with NoAnswer. */
export function exchange(
  client: typeof http | typeof https,
  options: https.RequestOptions,
  body: Buffer | string,
  milliseconds: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = client.request(options, (response) => {
      const parts: Buffer[] = [];
      let bytes = 0;
      response.on('data', (part: Buffer) => {
        bytes += part.length;
        if (bytes > MAX_ANSWER) request.destroy(new NoAnswer('the answer is too large'));
        else parts.push(part);
      });
      response.on('error', failed);
      response.on('end', () => {
        clearTimeout(timer);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) });
      });
    });
    const timer = setTimeout(() => request.destroy(new NoAnswer('timed out')), milliseconds);
    function failed(error: Error): void {
      clearTimeout(timer);
      reject(error instanceof NoAnswer ? error : new NoAnswer(codeOf(error)));
    }
    request.on('error', failed);
    request.end(body);
  });
}
