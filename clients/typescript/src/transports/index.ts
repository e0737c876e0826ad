/** Where entries go, one file a transport. */

import type { Transport } from '../batches.js';
import type { Settings, TransportOptions } from '../options.js';
import { HttpTransport } from './http.js';

type Make = (name: string, options: TransportOptions, settings: Settings) => Transport;

const KINDS: Partial<Record<TransportOptions['kind'], Make>> = {
  http: (name, options, settings) => new HttpTransport(name, { ...settings, ...(options as Partial<Settings>) }),
};

/** Return a transport's name in `state.json` and `stats()`. */
export function nameOf(options: TransportOptions): string {
  return options.name ?? options.kind;
}

/** Make the transports of the settings. Raises TypeError where an option is wrong, and says which. */
export function makeTransports(settings: Settings): Transport[] {
  return settings.transports.map((options) => {
    const make = KINDS[options.kind];
    if (!make) throw new TypeError(`there is no transport of the kind ${String(options.kind)}`);
    return make(nameOf(options), options, settings);
  });
}
