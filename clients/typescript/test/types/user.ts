// What a user's code may write, and what it may not. Compiled by types.test.mjs with strict settings.
import http from 'node:http';
import pino from 'pino';
import winston from 'winston';
import {
  Client,
  FieldKeys,
  type ClientOptions,
  type Exception,
  type Logger,
  type Stats,
  bindContext,
  close,
  exceptionOf,
  flush,
  getLogger,
  install,
  middleware,
  requestContext,
  runWith,
} from '@sentinel/client';
import transport, { destination } from '@sentinel/client/pino';
import { capture, capturing, type Entry } from '@sentinel/client/testing';
import { SentinelTransport } from '@sentinel/client/winston';

const options: ClientOptions = {
  url: 'https://logs.example.org',
  service: 'checkout',
  level: 'debug',
  levels: { 'checkout.db': 'silent' },
  sampling: [{ level: 'info', rate: 0.1 }],
  rates: [{ by: ['user', 'template'], perSecond: 5, burst: 10 }],
  repeatsSeconds: 10,
  privacy: { detectors: { email: 'off' }, paths: { 'user.name': 'hash' }, allow: ['*@example.org'] },
};
const log: Logger = install(options);
log.info({ order: 7 }, 'paid %s', 'twice');
log.info('paid %d', 7);
log.error(new Error('x'));
log.error(new Error('x'), 'failed');
log.warn({ err: new Error('x') });
log.fatal(undefined, 'message');
const child: Logger = getLogger('checkout.cart').child({ request: 'r-1' }, { level: 'trace', msgPrefix: '[cart] ' });
child.level = 'warn';
const enabled: boolean = child.isLevelEnabled('info');
const answer: number = runWith({ request_id: 'r' }, () => 42);
const later: Promise<string> = runWith({}, async () => 'x');
bindContext({ user: 'u' });
const told: Exception = exceptionOf(new Error('x'));
const line: number | undefined = told.frames[0]?.line;
http.createServer((request, response) => {
  middleware({ log })(request, response, () => response.end(String(requestContext(request)['request_id'])));
});
const client = new Client(options);
const stats: Stats = client.stats();
const done: Promise<boolean> = flush(100).then((all) => all && stats.next > 0);
pino(destination(options)).info('x');
pino({ transport: { target: '@sentinel/client/pino', options } });
pino(transport(options));
winston.createLogger({ transports: [new SentinelTransport({ ...options, handleExceptions: true })] });
const captured = capture();
const entry: Entry = captured.assertLogged({ message: /x/ });
void capturing((inner) => inner.entries.length).then((count: number) => count);
const open: string = FieldKeys.of({ keys: {} }).open('{}');
void close(100);

// @ts-expect-error a message is no object's field list
log.info({ order: 7 }, 7);
// @ts-expect-error there is no such level
log.loud('x');
// @ts-expect-error there is no such option
new Client({ leve: 'info' });
// @ts-expect-error there is no such action
new Client({ privacy: { paths: { a: 'forget' } } });
// @ts-expect-error a rate is a number
install({ sampling: [{ rate: 'half' }] });

export { answer, done, enabled, entry, later, line, open };
