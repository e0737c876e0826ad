/** Where entries go, one file a transport. */

import type { Transport } from '../batches.js';
import { fileName, nearest } from '../option-table.js';
import type { Settings, TransportOptions } from '../options.js';
import { CloudWatchTransport } from './cloudwatch.js';
import { ConsoleTransport } from './console.js';
import { DatadogTransport } from './datadog.js';
import { FileTransport } from './file.js';
import { text } from './given.js';
import { HttpTransport } from './http.js';

type Make = (name: string, options: TransportOptions, settings: Settings) => Transport;

const OWN = ['url', 'service', 'certificate', 'certificateKey', 'apiKeyFile', 'roots', 'compression'] as const;

/** Return what a second server has of its own, named as in the configuration file. */
function own(options: TransportOptions): Partial<Settings> {
  const all = OWN.map((option) => [option, text(options, fileName(option))] as const);
  return Object.fromEntries(all.filter(([, value]) => value));
}

const KINDS: Record<TransportOptions['kind'], Make> = {
  http: (name, options, settings) => new HttpTransport(name, { ...settings, ...own(options) }),
  cloudwatch: (name, options) => new CloudWatchTransport(name, options),
  datadog: (name, options, { service }) => new DatadogTransport(name, options, service),
  file: (name, options) => new FileTransport(name, options),
  console: (name, options) => new ConsoleTransport(name, options),
};

/** What each kind takes beside `kind` and `name`. */
const TAKES: Record<TransportOptions['kind'], readonly string[]> = {
  http: OWN.map(fileName),
  cloudwatch: ['group', 'stream', 'region', 'create', 'endpoint'],
  datadog: ['api_key_file', 'site', 'service', 'source', 'tags', 'hostname', 'endpoint'],
  file: ['path', 'rotate_bytes', 'keep', 'fsync'],
  console: ['raw'],
};

/** Raises TypeError for a kind or a name that there is not. */
function check(options: TransportOptions): void {
  const kinds = Object.keys(KINDS);
  const kind = String(options?.kind);
  if (!kinds.includes(kind)) throw new TypeError(`there is no transport of the kind ${kind}; there are ${kinds.join(', ')}`);
  const known = ['kind', 'name', ...TAKES[options.kind]];
  const wrong = Object.keys(options).find((name) => !known.includes(name));
  if (wrong !== undefined) throw new TypeError(`${kind} takes no ${wrong}${nearest(wrong, known)}`);
}

/** Return a transport's name in `state.json` and `stats()`. */
export function nameOf(options: TransportOptions): string {
  return options.name ?? options.kind;
}

/** Make the transports of the settings. Raises TypeError where an option is wrong, and says which. */
export function makeTransports(settings: Settings): Transport[] {
  return settings.transports.map((options) => {
    check(options);
    return KINDS[options.kind](nameOf(options), options, settings);
  });
}
