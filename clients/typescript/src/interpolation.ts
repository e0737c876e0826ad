/** `%s %d %i %f %j %o %O %c %%` in messages, as pino and `util.format` have them. */

import { encode } from './encode.js';
import { exceptionOf, isError } from './exceptions.js';

const MAX_MESSAGE = 16_384;

/** A message with its arguments in the places of its `%` signs. Arguments beyond them are left out, as pino does. */
export function interpolated(message: string, values: readonly unknown[]): string {
  if (values.length === 0 || !message.includes('%')) return message;
  let made = '';
  let from = 0;
  let next = 0;
  for (let at = message.indexOf('%'); at !== -1 && at < message.length - 1; at = message.indexOf('%', from)) {
    const sign = message.charAt(at + 1);
    made += message.slice(from, at);
    from = at + 2;
    if (sign === '%') {
      made += '%';
    } else if (next < values.length && 'sdifjoOc'.includes(sign)) {
      made += placed(sign, values[next]);
      next += 1;
    } else {
      made += `%${sign}`;
    }
    if (made.length > MAX_MESSAGE) return made;
  }
  return made + message.slice(from);
}

function placed(sign: string, value: unknown): string {
  if (sign === 'c') return '';
  if (typeof value === 'object' && value !== null) return shown(sign, value);
  switch (sign) {
    case 'd':
    case 'f':
      return numeral(value, (each) => each);
    case 'i':
      return numeral(value, Math.trunc);
    case 's':
      return String(value);
    default:
      return encode(value);
  }
}

function numeral(value: unknown, of: (value: number) => number): string {
  if (typeof value === 'bigint') return String(value);
  return typeof value === 'symbol' ? 'NaN' : String(of(Number(value)));
}

/** Objects are never asked to convert themselves: that may take for ever. */
function shown(sign: string, value: object): string {
  if ('dfi'.includes(sign)) return 'NaN';
  if (sign !== 's' || !isError(value)) return encode(value);
  const { type, message } = exceptionOf(value);
  return `${type}: ${message}`;
}
