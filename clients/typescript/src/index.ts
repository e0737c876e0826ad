/** The client library of Sentinel: logs are on disk before the call returns, and are sent exactly once. */

export { type LambdaContext, timeLeft, withFlush } from './aws-lambda.js';
export { Client } from './client.js';
export type { ClientOptions } from './client-options.js';
export { bindContext, currentContext, runWith, traceOf, type Trace } from './context.js';
export { Counts, type Reason } from './counts.js';
export type { Fields, Serializer } from './entry.js';
export { type Exception, type Frame, exceptionOf } from './exceptions.js';
export type { FlowOptions, RateRule, SamplingRule } from './flow.js';
export type { Level, LevelOrSilent } from './levels.js';
export { openStore } from './log-store.js';
export { type ChildOptions, type LogFn, Logger } from './logger.js';
export { OptionError, type StoreOptions, type TransportOptions } from './options.js';
export { close, flush, getLogger, install, installed } from './pending.js';
export { FieldKeys, NotDecrypted } from './privacy/fields.js';
export type { DetectorAction, PolicyOptions } from './privacy/policy.js';
export type { PathAction } from './privacy/paths.js';
export { NotMasked } from './privacy/walk.js';
export { type MiddlewareOptions, middleware, requestContext } from './requests.js';
export { err, req, res } from './serializers.js';
export type { Stats, Store, TransportStats } from './store-types.js';
