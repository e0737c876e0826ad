/**
 * What a value that an expression found has to be besides: the checks that the detector table names.
 *
 * Each takes the value and returns how many of its characters count, 0 where it is none after all. They know
 * ASCII only, and say what the Python client's say.
 */

export type Check = (value: string) => number;

export const MASKED = /^\[\[[a-z_]{2,20}(?::[a-z2-7]{13})?\]\]/;

const PLACEHOLDER =
  /^(?:\$\{[^\n]*\}|\$[A-Z_][A-Z0-9_]*|\{\{[^\n]*\}\}|<[^<>]*>|%[sdr]|%\([A-Za-z_]+\)s|[*]+|[xX]{3,}|[.]+|[-]+|\[[a-z]+\])$/;
const SAYS_NOTHING = new Set(
  (
    'null none nil true false undefined empty unset missing yes no ok on off required invalid expired incorrect ' +
    'wrong failed changed redacted filtered hidden masked authentication authorization is was not for of'
  ).split(' '),
);
const SYMBOL = /[!#$%^*+=~|{}[\]()<>?@\\]/;
// Numbers, dates, calls, indexed names, paths and addresses: what stands under telling names and is no secret.
const NO_SECRET =
  /^(?:-?[0-9.,]+|[0-9]{4}-[0-9]{2}-[0-9]{2}[^\n]*|[A-Za-z_.]+[([][^\n]*|(?:~|\.{0,2})(?:\/[a-z0-9_.-]+)+\/?|https?:[^\n]*)$/;
const DATED = /^(?:\+?[0-9]+\.[0-9]+|[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}[^\n]*|[0-9]{1,3}(?:\.[0-9]{1,3}){3}[^\n]*)$/;
const CARD_LENGTHS: readonly (readonly [RegExp, readonly number[]])[] = [
  [/^4/, [13, 16, 19]],
  [/^(?:3[47]|1|2131)/, [15]],
  [/^3[0689]/, [14, 15, 16, 17, 18, 19]],
  [/^(?:35|6[0-9]|50|5[678])/, [13, 14, 15, 16, 17, 18, 19]],
  [/^(?:5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720)/, [16]],
];

/** Whether the check digit is right (ISO/IEC 7812-1, annex B), and not all digits are the same. */
export function luhn(digits: string): boolean {
  let total = 0;
  for (let place = 0; place < digits.length; place += 1) {
    const value = (digits.charCodeAt(digits.length - 1 - place) - 48) * (1 + (place % 2));
    total += value > 9 ? value - 9 : value;
  }
  return total % 10 === 0 && new Set(digits).size > 1;
}

/** A payment card: a length that its issuer's range has, and a right check digit. */
export function card(value: string): number {
  const digits = value.replace(/[^0-9]+/g, '');
  const fits = CARD_LENGTHS.some(([begins, lengths]) => begins.test(digits) && lengths.includes(digits.length));
  return fits && luhn(digits) ? value.length : 0;
}

/** Of what may be an IBAN (ISO 13616): up to the length that its country has, with the right check digits. */
export function iban(value: string, lengths: Readonly<Record<string, number>>): number {
  const country = value.slice(0, 2);
  const length = Object.hasOwn(lengths, country) ? (lengths[country] ?? 0) : 0;
  let plain = '';
  let end = 0;
  while (end < value.length) {
    const each = value.charAt(end);
    end += 1;
    if (each !== ' ' && each !== '-') plain += each;
    if (plain.length === length) break;
  }
  if (length === 0 || plain.length !== length || !['', ' ', '-'].includes(value.charAt(end))) return 0;
  let rest = 0;
  for (const each of plain.slice(4) + plain.slice(0, 4)) {
    const number = parseInt(each, 36);
    rest = (rest * (number > 9 ? 100 : 10) + number) % 97;
  }
  return rest === 1 ? end : 0;
}

/** A JSON Web Token: what stands before the first dot is a header (RFC 7515, 4). */
function jwt(value: string): number {
  const head = value.split('.', 1)[0] ?? '';
  if (head.length % 4 === 1) return 0;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(head, 'base64url'));
    const header: unknown = JSON.parse(text);
    const isObject = typeof header === 'object' && header !== null && !Array.isArray(header);
    return isObject && ['alg', 'enc', 'typ'].some((name) => Object.hasOwn(header, name)) ? value.length : 0;
  } catch {
    return 0;
  }
}

/** Credentials of HTTP Basic (RFC 7617): base64 of printable text with a colon. */
function basic(value: string): number {
  const plain = value.replace(/=+$/, '');
  if (plain.length % 4 === 1 || !/^[A-Za-z0-9+/]*$/.test(plain)) return 0;
  const text = Buffer.from(plain, 'base64').toString('latin1');
  return text.includes(':') && /^[ -~]*$/.test(text) ? value.length : 0;
}

/** No placeholder, no word that says that there is no value, and nothing that is masked already. */
function real(value: string): number {
  if (SAYS_NOTHING.has(value.toLowerCase().replace(/[.,:)!]+$/, ''))) return 0;
  return PLACEHOLDER.test(value) || MASKED.test(value) ? 0 : value.length;
}

/** Long enough, and no plain words: it has digits, symbols, no vowels, or cases that change within. */
function secretLike(value: string): number {
  if (value.length < 6 || real(value) === 0 || NO_SECRET.test(value)) return 0;
  const odd = /[0-9]/.test(value) || SYMBOL.test(value) || !/[aeiouAEIOU]/.test(value);
  return odd || (value.match(/[a-z][A-Z]/g)?.length ?? 0) > 2 ? value.length : 0;
}

/** Letters and digits. */
function mixed(value: string): number {
  return /[0-9]/.test(value) && /[A-Za-z]/.test(value) ? value.length : 0;
}

/** Small letters, capital letters and digits. */
function three(value: string): number {
  return /[a-z]/.test(value) && /[A-Z]/.test(value) && /[0-9]/.test(value) ? value.length : 0;
}

/** A digit, or small letters without a vowel: no words written together. */
function noWords(value: string): number {
  const odd = /[a-z]/.test(value) && !/[aeiou]/.test(value);
  return /[0-9]/.test(value) || odd ? value.length : 0;
}

/** It looks drawn at random: three classes of characters that change as often as chance has it. */
export function drawn(value: string): number {
  const seen = new Set<number>();
  let count = 0;
  let changes = 0;
  let before = -1;
  for (let at = 0; at < value.length; at += 1) {
    const code = value.charCodeAt(at);
    const kind = code >= 48 && code <= 57 ? 0 : code >= 97 && code <= 122 ? 1 : code >= 65 && code <= 90 ? 2 : -1;
    if (kind === -1) continue;
    seen.add(kind);
    count += 1;
    if (before !== -1 && before !== kind) changes += 1;
    before = kind;
  }
  return seen.size === 3 && changes >= 0.38 * count ? value.length : 0;
}

/** 7 to 15 digits (E.164), and no date, no address of a host, no number with a fraction. */
export function phone(value: string): number {
  const digits = value.replace(/[^0-9]+/g, '');
  const fits = digits.length >= 7 && digits.length <= 15 && new Set(digits).size > 1;
  return fits && !DATED.test(value) ? value.length : 0;
}

/** Names with values, as in cookies. */
function pairs(value: string): number {
  return value.includes('=') ? value.length : 0;
}

/** The checks by the names that the table has for them; `lengths` are those of IBANs by country. */
export function checksByName(lengths: Readonly<Record<string, number>>): Readonly<Record<string, Check>> {
  return {
    card,
    iban: (value) => iban(value, lengths),
    jwt,
    basic,
    real,
    'secret-like': secretLike,
    mixed,
    three,
    'no-words': noWords,
    drawn,
    phone,
    pairs,
  };
}
