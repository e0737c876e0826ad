/**
 * AWS without an SDK: where credentials come from, and Signature Version 4.
 *
 * The chain is that of the SDKs, as far as it needs no SDK: environment (which Lambda sets), container (ECS, EKS Pod
 * Identity), instance (IMDSv2). Profiles, SSO and web identities are not read.
 */

import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { type Answer, exchange, NoAnswer } from './door.js';

const ECS = 'http://169.254.170.2';
const IMDS = 'http://169.254.169.254';
// Who may be asked in the clear (AWS SDKs and Tools Reference Guide, "Container credential provider").
const CLEAR = ['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]', '127.0.0.1', '[::1]', 'localhost'];
const ROLE = '/latest/meta-data/iam/security-credentials/';
const EARLY = 300_000; // milliseconds before their end that credentials are fetched anew
const ASKING = 5_000; // milliseconds for one question to a metadata service

/** Credentials. `until` is when they end, epoch milliseconds; 0 where they do not. */
export interface Keys {
  access: string;
  secret: string;
  token: string;
  until: number;
}

export interface ChainOptions {
  environ?: NodeJS.ProcessEnv;
  imds?: string;
  ecs?: string;
}

/** The first source that has credentials. They are kept until shortly before they end. */
export class CredentialChain {
  private held: Keys | undefined;

  constructor(private readonly options: ChainOptions = {}) {}

  /** Return credentials. Rejects with NoAnswer where there are none now. */
  async keys(): Promise<Keys> {
    const { held } = this;
    if (held && (held.until === 0 || held.until - EARLY > Date.now())) return held;
    try {
      this.held = await this.found();
      return this.held;
    } catch (error) {
      if (held && held.until > Date.now()) return held;
      throw error;
    }
  }

  /** Have them fetched anew: they were refused. */
  forget(): void {
    this.held = undefined;
  }

  private async found(): Promise<Keys> {
    const told = this.options.environ ?? process.env;
    const { AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = told;
    if (access && secret) return { access, secret, token: token ?? '', until: 0 };
    const relative = told['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
    if (relative) return keysOf(await ask('GET', (this.options.ecs ?? ECS) + relative, {}));
    const full = told['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
    if (full) return await this.container(full, told);
    if (told['AWS_EC2_METADATA_DISABLED']?.toLowerCase() === 'true') throw new NoAnswer('there are no AWS credentials');
    return await this.instance();
  }

  private async container(url: string, told: NodeJS.ProcessEnv): Promise<Keys> {
    const { protocol, hostname } = new URL(url);
    if (protocol !== 'https:' && !CLEAR.includes(hostname)) {
      throw new NoAnswer('AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this host');
    }
    const file = told['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
    const token = file ? readFileSync(file, 'utf8').trim() : told['AWS_CONTAINER_AUTHORIZATION_TOKEN'];
    return keysOf(await ask('GET', url, token ? { Authorization: token } : {}));
  }

  /** Ask the instance metadata service, version 2 (EC2 User Guide, "Use IMDS"). */
  private async instance(): Promise<Keys> {
    const imds = this.options.imds ?? IMDS;
    const lives = { 'X-aws-ec2-metadata-token-ttl-seconds': '300', 'Content-Length': 0 };
    const token = await ask('PUT', `${imds}/latest/api/token`, lives);
    const proof = { 'X-aws-ec2-metadata-token': token.body.toString('latin1') };
    const [role] = (await ask('GET', imds + ROLE, proof)).body.toString('latin1').trim().split('\n');
    if (!role) throw new NoAnswer('this instance has no role');
    return keysOf(await ask('GET', imds + ROLE + role, proof));
  }
}

async function ask(method: string, url: string, headers: Record<string, string | number>): Promise<Answer> {
  const { protocol, hostname, port, pathname, search } = new URL(url);
  const options = { method, host: hostname.replace(/^\[|\]$/g, ''), port, path: pathname + search, headers };
  const answer = await exchange(protocol === 'https:' ? https : http, options, '', ASKING);
  if (answer.status !== 200) throw new NoAnswer(`there are no AWS credentials: who has some answers ${answer.status}`);
  return answer;
}

function keysOf(answer: Answer): Keys {
  let told: Record<string, unknown> = {};
  try {
    told = JSON.parse(answer.body.toString()) as Record<string, unknown>;
  } catch {
    // What is missing is told below.
  }
  const { AccessKeyId: access, SecretAccessKey: secret, Token: token, Expiration: end } = told;
  if (typeof access !== 'string' || typeof secret !== 'string') {
    throw new NoAnswer('there are no AWS credentials: the answer holds none');
  }
  const until = Date.parse(String(end));
  return { access, secret, token: typeof token === 'string' ? token : '', until: Number.isFinite(until) ? until : 0 };
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function sha256(data: Buffer | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/**
 * Return the headers of a `POST /` with its signature (IAM User Guide, "AWS Signature Version 4").
 *
 * `headers` has `Host`; all of them are signed. `now` is in epoch milliseconds.
 */
export function signed(
  keys: Keys,
  region: string,
  service: string,
  headers: Record<string, string>,
  body: Buffer,
  now: number,
): Record<string, string> {
  const stamp = new Date(now).toISOString().replace(/[-:]|\.\d{3}/g, '');
  const token = keys.token ? { 'X-Amz-Security-Token': keys.token } : {};
  const told: Record<string, string> = { ...headers, 'X-Amz-Date': stamp, ...token };
  const folded = (value: string): string => value.trim().replace(/\s+/g, ' ');
  const plain = Object.entries(told).map(([name, value]) => [name.toLowerCase(), folded(value)] as const);
  plain.sort(([one], [other]) => (one < other ? -1 : 1));
  const names = plain.map(([name]) => name).join(';');
  const lines = plain.map(([name, value]) => `${name}:${value}\n`).join('');
  const request = `POST\n/\n\n${lines}\n${names}\n${sha256(body)}`;
  const scope = `${stamp.slice(0, 8)}/${region}/${service}/aws4_request`;
  const text = `AWS4-HMAC-SHA256\n${stamp}\n${scope}\n${sha256(request)}`;
  const parts = [stamp.slice(0, 8), region, service, 'aws4_request', text];
  const proof = parts.reduce(hmac, Buffer.from(`AWS4${keys.secret}`)).toString('hex');
  const credential = `Credential=${keys.access}/${scope}, SignedHeaders=${names}, Signature=${proof}`;
  return { ...told, Authorization: `AWS4-HMAC-SHA256 ${credential}` };
}
