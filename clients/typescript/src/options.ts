/**
 * The store's options: from the call, else from `SENTINEL_*`, else from the JSON file that `SENTINEL_CONFIG` names.
 *
 * The file is the one that the Python client reads: the same names there, `disk_mb` for `diskMb`. The environment has
 * them in upper case, `SENTINEL_DISK_MB`. No secret is ever in an option, only the path of the file that holds it.
 */

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export type Fsync = 'always' | 'interval' | 'never';
export type WhenFull = 'drop_oldest' | 'drop_newest' | 'block';

/** One place where entries go; `transports/` says what each kind takes beside `kind` and `name`. */
export interface TransportOptions {
  kind: 'http' | 'cloudwatch' | 'datadog' | 'file' | 'console';
  /** Its name in `state.json` and `stats()`; the kind, where it is left out. */
  name?: string;
  [option: string]: unknown;
}

export interface StoreOptions {
  /** Where the server is, `https://…`; a gateway without doors may be `http://` on loopback. */
  url?: string;
  /** The service id. */
  service?: string;
  /** Files of the client certificate, its key, the API key, and the roots that the server is judged by. */
  certificate?: string;
  certificateKey?: string;
  apiKeyFile?: string;
  roots?: string;
  /** The root folder of the write-ahead log. */
  directory?: string;
  fsync?: Fsync;
  /** Seconds between two syncs with `fsync: 'interval'`. */
  fsyncSeconds?: number;
  /** The disk budget in MiB, and what happens at it; `blockSeconds` is the bound of `block`. */
  diskMb?: number;
  whenFull?: WhenFull;
  blockSeconds?: number;
  segmentMb?: number;
  /** What bridges a failing disk, in KiB of entries. */
  memoryKb?: number;
  /** A batch leaves when it has so many entries or bytes, or its first entry is so many seconds old. */
  batchEntries?: number;
  batchKb?: number;
  batchSeconds?: number;
  compression?: 'gzip' | 'zstd' | 'none';
  /** `ed25519` signs each batch with the key of the file. */
  integrity?: 'none' | 'ed25519';
  signingKeyFile?: string;
  /** Seconds that one request may take in all, and that the end of the process may wait for the last batch. */
  timeoutSeconds?: number;
  exitSeconds?: number;
  /** Where entries go: kinds, or objects with what the kind takes. Without a `url` what needs one stays on disk. */
  transports?: (TransportOptions | TransportOptions['kind'])[];
}

/** The same with every default filled in. */
export type Settings = Required<Omit<StoreOptions, Where | 'transports'>> &
  Pick<StoreOptions, Where> & { transports: TransportOptions[] };
type Where = 'url' | 'certificate' | 'certificateKey' | 'apiKeyFile' | 'roots' | 'signingKeyFile';

type Kind = 'text' | 'number' | 'list' | readonly string[];

/** Each option, and what its value is; the logger adds its own to what `given` knows. */
export const STORE_OPTIONS: Readonly<Record<keyof StoreOptions, Kind>> = {
  url: 'text',
  service: 'text',
  certificate: 'text',
  certificateKey: 'text',
  apiKeyFile: 'text',
  roots: 'text',
  directory: 'text',
  fsync: ['always', 'interval', 'never'],
  fsyncSeconds: 'number',
  diskMb: 'number',
  whenFull: ['drop_oldest', 'drop_newest', 'block'],
  blockSeconds: 'number',
  segmentMb: 'number',
  memoryKb: 'number',
  batchEntries: 'number',
  batchKb: 'number',
  batchSeconds: 'number',
  compression: ['gzip', 'zstd', 'none'],
  integrity: ['none', 'ed25519'],
  signingKeyFile: 'text',
  timeoutSeconds: 'number',
  exitSeconds: 'number',
  transports: 'list',
};

const DEFAULTS = {
  service: '',
  fsync: 'interval',
  fsyncSeconds: 1,
  diskMb: 256,
  whenFull: 'drop_oldest',
  blockSeconds: 0.5,
  segmentMb: 8,
  memoryKb: 1024,
  batchEntries: 5000,
  batchKb: 2048,
  batchSeconds: 1,
  compression: 'gzip',
  integrity: 'none',
  timeoutSeconds: 30,
  exitSeconds: 2,
} as const;

/** An option that is not what it has to be. The message names it and never shows a value. */
export class OptionError extends Error {
  override name = 'OptionError';
}

/** `diskMb` -> `disk_mb`, as the configuration file has it. */
export function fileName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function checked(option: string, kind: Kind, value: unknown): unknown {
  if (kind === 'number') {
    const number = typeof value === 'string' && value.trim() ? Number(value) : value;
    if (typeof number === 'number' && Number.isFinite(number) && number >= 0) return number;
    throw new OptionError(`${option} has to be a number of 0 or more`);
  }
  if (kind === 'text') {
    if (typeof value === 'string' && value) return value;
    throw new OptionError(`${option} has to be a text that is not empty`);
  }
  if (kind === 'list') {
    if (Array.isArray(value)) return value;
    throw new OptionError(`${option} has to be a list`);
  }
  if (typeof value === 'string' && kind.includes(value)) return value;
  throw new OptionError(`${option} has to be one of ${kind.join(', ')}`);
}

/** Read the file that `SENTINEL_CONFIG` names; without one there is nothing in it. Raises OptionError. */
export function configuration(environ: NodeJS.ProcessEnv = process.env): Record<string, unknown> {
  const path = environ['SENTINEL_CONFIG'];
  if (!path) return {};
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    throw new OptionError('SENTINEL_CONFIG names a file that cannot be read, or is no JSON');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new OptionError('SENTINEL_CONFIG names a file that holds no JSON object');
}

function found(name: string, file: Record<string, unknown>, kind: Kind, environ: NodeJS.ProcessEnv): unknown {
  const text = environ[`SENTINEL_${fileName(name).toUpperCase()}`];
  if (text) return kind === 'list' ? text.split(',').map((one) => one.trim()) : text;
  return file[fileName(name)];
}

/** Return the options of `known` that are given anywhere, checked. Raises OptionError. */
export function given(
  call: object,
  known: Readonly<Record<string, Kind>>,
  file: Record<string, unknown> = configuration(),
  environ: NodeJS.ProcessEnv = process.env,
): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries(known)) {
    const value = (call as Record<string, unknown>)[name] ?? found(name, file, kind, environ);
    if (value !== undefined && value !== null) all[name] = checked(name, kind, value);
  }
  return all;
}

const PATHS = ['certificate', 'certificateKey', 'apiKeyFile', 'roots', 'directory', 'signingKeyFile'] as const;

/** Return the paths among options, with `~/` as the user's home. */
function expanded(all: StoreOptions): StoreOptions {
  const paths = PATHS.map((name) => [name, all[name]] as const).filter(([, path]) => path?.startsWith('~/'));
  return Object.fromEntries(paths.map(([name, path]) => [name, join(homedir(), path!.slice(2))]));
}

/** Return the service that the platform names, where nobody else does. */
function serviceOf(environ: NodeJS.ProcessEnv): string {
  return environ['OTEL_SERVICE_NAME'] || environ['AWS_LAMBDA_FUNCTION_NAME'] || '';
}

/** Return where the log is by default: the user's state folder; in AWS Lambda /tmp, the only folder it may write. */
export function defaultDirectory(service: string, environ: NodeJS.ProcessEnv = process.env): string {
  const name = service.replace(/[^\w.-]/g, '_').replace(/^\.+|\.+$/g, '') || 'default';
  if (environ['AWS_LAMBDA_FUNCTION_NAME']) return join('/tmp', 'sentinel-client', name);
  return join(environ['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'sentinel-client', name);
}

/** Return the store's settings. Raises OptionError. */
export function settings(
  call: StoreOptions = {},
  file: Record<string, unknown> = configuration(),
  environ: NodeJS.ProcessEnv = process.env,
): Settings {
  const told: StoreOptions = given(call, STORE_OPTIONS, file, environ);
  const all = { ...DEFAULTS, ...told, ...expanded(told) };
  const service = all.service || serviceOf(environ);
  const transports = (all.transports ?? ['http']).map((one) => (typeof one === 'string' ? { kind: one } : one));
  return {
    ...all,
    service,
    directory: all.directory ?? defaultDirectory(service, environ),
    transports: (transports as TransportOptions[]).filter(({ kind, url }) => kind !== 'http' || url || all.url),
  };
}
