/** The client library of Sentinel: logs are on disk before the call returns, and are sent exactly once. */

export { Counts, type Reason } from './counts.js';
export { OptionError, type StoreOptions, type TransportOptions } from './options.js';
export type { Stats, Store, TransportStats } from './store-types.js';
