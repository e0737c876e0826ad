/**
 * The store's options: from the call, else from `SENTINEL_*`, else from the JSON file that `SENTINEL_CONFIG` names.
 *
 * The file is the one that the Python client reads (`option-table.ts`). The environment has its names in upper case,
 * `SENTINEL_DISK_MB`. No secret is ever in an option, only the path of the file that holds it.
 */

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileName, type Kind, type Range, STORE_OPTIONS, wrongInCall, wrongInFile } from './option-table.js';

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
  /** The configuration file; else `SENTINEL_CONFIG` names it. */
  config?: string;
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
type Where = 'config' | 'url' | 'certificate' | 'certificateKey' | 'apiKeyFile' | 'roots' | 'signingKeyFile';

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

function numberOf(range: Range, value: unknown, strict: boolean): number {
  const number = typeof value === 'string' && value.trim() ? Number(value) : value;
  const least = strict ? range.least : 0;
  const fits = typeof number === 'number' && number >= least && number <= range.most;
  if (fits && (!strict || !range.whole || Number.isInteger(number))) return number;
  const kind = strict && range.whole ? 'a whole number' : 'a number';
  throw new TypeError(`has to be ${kind} from ${least} to ${range.most}`);
}

/** Return a value as its option has it; `strict` where it comes from the file or the environment. Raises TypeError. */
function valueOf(kind: Kind, value: unknown, strict: boolean): unknown {
  if (typeof kind === 'object' && 'most' in kind) return numberOf(kind, value, strict);
  if (kind === 'text' || kind === 'path') {
    if (typeof value === 'string' && (value !== '' || kind === 'text')) return value;
    throw new TypeError(kind === 'text' ? 'has to be a text' : 'has to be the name of a file or folder');
  }
  if (kind === 'list' || kind === 'rules') {
    if (Array.isArray(value)) return value;
    throw new TypeError('has to be a list');
  }
  if (kind === 'object') {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
    throw new TypeError('has to be an object');
  }
  if (typeof value === 'string' && kind.includes(value)) return value;
  throw new TypeError(`has to be one of ${kind.join(', ')}`);
}

function checked(shown: string, kind: Kind, value: unknown, strict: boolean): unknown {
  try {
    return valueOf(kind, value, strict);
  } catch (error) {
    throw new OptionError(`${shown} ${(error as Error).message}`);
  }
}

/**
 * Read the file that the call's `config`, else `SENTINEL_CONFIG` names; without one there is nothing in it.
 * Raises OptionError, also for a name that is no option.
 */
export function configuration(environ: NodeJS.ProcessEnv = process.env, config = ''): Record<string, unknown> {
  const path = config || environ['SENTINEL_CONFIG'];
  if (!path) return {};
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    throw new OptionError(`${path} cannot be read, or is no JSON`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new OptionError(`${path} holds no JSON object`);
  }
  const wrong = wrongInFile(value);
  if (wrong) throw new OptionError(`${path}: ${wrong}`);
  return value as Record<string, unknown>;
}

/** Return the text that the environment has for an option. */
function environment(environ: NodeJS.ProcessEnv, name: string, kind: Kind): unknown {
  if (kind === 'object' || kind === 'rules') return undefined;
  const text = environ[`SENTINEL_${fileName(name).toUpperCase()}`];
  if (!text) return undefined;
  return kind === 'list' ? text.split(',').map((one) => one.trim()) : text;
}

/** Return the options of `known` that are given anywhere; all that is given is checked. Raises OptionError. */
export function given(
  call: object,
  known: Readonly<Record<string, Kind>>,
  file: Record<string, unknown>,
  environ: NodeJS.ProcessEnv = process.env,
): Record<string, unknown> {
  const all: Record<string, unknown> = {};
  for (const [name, kind] of Object.entries(known)) {
    const [short, told] = [fileName(name), environment(environ, name, kind)];
    const said = (call as Record<string, unknown>)[name] ?? undefined;
    if (file[short] !== undefined) all[name] = checked(short, kind, file[short], true);
    if (told !== undefined) all[name] = checked(`SENTINEL_${short.toUpperCase()}`, kind, told, true);
    if (said !== undefined) all[name] = checked(name, kind, said, false);
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
  file: Record<string, unknown> = configuration(process.env, call.config),
  environ: NodeJS.ProcessEnv = process.env,
): Settings {
  const wrong = wrongInCall(call);
  if (wrong) throw new OptionError(wrong);
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
