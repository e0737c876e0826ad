/** `%s %d %i %f %j %o %O %c %%` in messages, as pino and `util.format` have them. */

import { encode } from './encode.js';

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
  try {
    switch (sign) {
      case 'd':
      case 'f':
        return typeof value === 'bigint' ? String(value) : String(Number(value));
      case 'i':
        return typeof value === 'bigint' ? String(value) : String(Math.trunc(Number(value)));
      case 's':
        return typeof value === 'object' && value !== null ? shown(value) : String(value);
      case 'c':
        return '';
      default:
        return encode(value);
    }
  } catch {
    return '<value that cannot be told>';
  }
}

function shown(value: object): string {
  return value instanceof Error ? `${value.name}: ${value.message}` : encode(value);
}
