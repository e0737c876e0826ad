/** Access tokens for an API key and a client certificate (docs/wire.md, POST /v1/token), renewed before they end. */

import { readFileSync } from 'node:fs';
import { codeOf } from './disk.js';
import { type Door, NoAnswer } from './door.js';

const MARGIN = 60_000; // milliseconds before its end that a token is not used any more, or a fifth of its life

/** The server gave no token. The message has its status or error code only. */
export class NoToken extends Error {
  override name = 'NoToken';
}

export class Tokens {
  private token = '';
  private until = 0;

  constructor(
    private readonly door: Door,
    private readonly service: string,
    private readonly keyFile: string,
  ) {}

  /** Return a token that is good for a while, within so many milliseconds. Rejects with NoToken or NoAnswer. */
  async get(milliseconds: number): Promise<string> {
    if (this.token && performance.now() < this.until) return this.token;
    const key = this.key();
    const form = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: this.service,
      client_secret: key,
    }).toString();
    const headers = {
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': Buffer.byteLength(form),
      Accept: 'application/json',
    };
    const answer = await this.door.request({ method: 'POST', path: '/v1/token', headers, body: form }, milliseconds);
    if (answer.status !== 200) throw new NoToken(`no token: status ${answer.status}`);
    return this.kept(answer.body);
  }

  /** Forget the token: the server does not take it any more. */
  drop(): void {
    this.token = '';
  }

  private key(): string {
    try {
      return readFileSync(this.keyFile, 'utf8').trim();
    } catch (error) {
      throw new NoAnswer(`API key file: ${codeOf(error)}`);
    }
  }

  private kept(body: Buffer): string {
    let answer: { access_token?: unknown; expires_in?: unknown };
    try {
      answer = JSON.parse(body.toString()) as typeof answer;
    } catch {
      throw new NoToken('no token: the answer is no JSON');
    }
    const { access_token: token, expires_in: seconds } = answer;
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw new NoToken('no token in the answer');
    const life = (typeof seconds === 'number' ? seconds : 0) * 1000;
    this.token = token;
    this.until = performance.now() + life - Math.min(MARGIN, life / 5);
    return token;
  }
}
