/**
 * Which rows of the table are worth a try on a text: one pass over its characters tells which literals of the
 * rows' gates are in it (an automaton of all of them: Aho and Corasick, 1975), how many digits, and how long the
 * longest run of letters, digits, `_` and `-` is. It costs a nanosecond or two a character.
 */

import type { Detector } from './table.js';

const MOST = 96; // rows: three words of bits
const CLASSES = 64;
const RUN = 64; // of a character's class: it is a letter, a digit, _ or -
const DIGIT = 128; // and a digit
const BACKSLASH = 92;
const COMMA = 44;
const SCRATCH = Buffer.allocUnsafe(65_536);
const TIME = '{"time":'; // what it says is nobody's number

/** What a pass found, until the next. */
export class Gates {
  private readonly classes = new Uint8Array(256);
  /** Of each state (a multiple of `CLASSES`) the state behind it, by the class of the next character. */
  private readonly next: Int32Array;
  /** Whether a gate ends with a state, and the rows whose gates do. */
  private readonly ends: Uint8Array;
  private readonly found: readonly [Int32Array, Int32Array, Int32Array];
  private readonly always: readonly [number, number, number];

  constructor(private readonly detectors: readonly Detector[]) {
    if (detectors.length > MOST) throw new Error(`the table has more than ${MOST} rows`);
    const gates = detectors.map((each) => each.gates);
    classify(this.classes, gates.flat());
    const trie = trieOf(gates, this.classes);
    this.next = Int32Array.from(trie.next, (state) => state * CLASSES);
    this.found = trie.found;
    const ends = (state: number): boolean => trie.found.some((bits) => bits[state] !== 0);
    this.ends = Uint8Array.from(trie.found[0], (_, state) => (ends(state) ? 1 : 0));
    this.always = bitsOf(gates.map((each) => each.length === 0));
  }

  /**
   * The rows whose gates a text opens, in their order. With `line`, the text is a line of JSON, whose time is left
   * out where that comes first; undefined where it has a backslash, so that its texts are not as they stand.
   */
  open(text: string, line = false): Detector[] | undefined {
    const { classes, next, ends } = this;
    const [found0, found1, found2] = this.found;
    let [open0, open1, open2] = this.always;
    // Bytes are read several times as fast as the characters of a text that was just put together. Of characters
    // beyond a byte the rest counts, which may open a gate too many.
    const bytes = text.length <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafe(text.length);
    const length = bytes.write(text, 0, 'latin1');
    let state = 0;
    let digits = 0;
    let longest = 0;
    let run = 0;
    let at = 0;
    if (line && text.startsWith(TIME)) while (at < length && bytes[at] !== COMMA) at += 1;
    for (; at < length; at += 1) {
      const code = bytes[at] as number;
      const kind = classes[code] as number;
      if (kind >= RUN) {
        if (kind >= DIGIT) digits += 1;
        run += 1;
        if (run > longest) longest = run;
      } else {
        run = 0;
        if (line && code === BACKSLASH) return undefined;
      }
      state = next[state + (kind & 63)] as number;
      if ((ends[state >> 6] as number) !== 0) {
        open0 |= found0[state >> 6] as number;
        open1 |= found1[state >> 6] as number;
        open2 |= found2[state >> 6] as number;
      }
    }
    const rows: Detector[] = [];
    this.put(rows, open0, 0, longest, digits);
    this.put(rows, open1, 32, longest, digits);
    this.put(rows, open2, 64, longest, digits);
    return rows;
  }

  /** Add the rows of a word of bits for which the text has enough digits, and a run that is long enough. */
  private put(rows: Detector[], open: number, first: number, run: number, digits: number): void {
    for (let bits = open; bits !== 0; bits &= bits - 1) {
      const each = this.detectors[first + 31 - Math.clz32(bits & -bits)] as Detector;
      if (run >= each.run && digits >= each.digits) rows.push(each);
    }
  }
}

/** Give every character of a gate a class of its own, capital letters that of small ones; all others have 0. */
function classify(classes: Uint8Array, gates: readonly string[]): void {
  const characters = new Set(gates.join(''));
  let kind = 0;
  for (const each of characters) {
    const code = each.charCodeAt(0);
    kind += 1;
    if (code >= 128 || kind >= CLASSES) throw new Error('gates have too many characters');
    classes[code] = kind;
    const capital = each.toUpperCase().charCodeAt(0);
    if (capital < 128) classes[capital] = kind;
  }
  for (let code = 0; code < 128; code += 1) {
    const each = String.fromCharCode(code);
    if (/[A-Za-z0-9_-]/.test(each)) classes[code] = (classes[code] as number) | RUN;
    if (/[0-9]/.test(each)) classes[code] = (classes[code] as number) | DIGIT;
  }
}

function bitsOf(set: readonly boolean[]): readonly [number, number, number] {
  const bits: [number, number, number] = [0, 0, 0];
  set.forEach((each, place) => {
    if (each) bits[place >> 5] = (bits[place >> 5] as number) | (1 << (place & 31));
  });
  return bits;
}

interface Trie {
  readonly next: Int16Array;
  readonly found: readonly [Int32Array, Int32Array, Int32Array];
}

/** The automaton of all gates: its states are their beginnings, and where no state goes on, the longest other does. */
function trieOf(gates: readonly (readonly string[])[], classes: Uint8Array): Trie {
  const most = gates.flat().reduce((sum, each) => sum + each.length, 1);
  const next = new Int16Array(most * CLASSES);
  const found = [new Int32Array(most), new Int32Array(most), new Int32Array(most)] as const;
  let states = 1;
  gates.forEach((of, row) => {
    for (const gate of of) {
      let state = 0;
      for (const each of gate) {
        const place = state * CLASSES + ((classes[each.charCodeAt(0)] as number) & 63);
        if (next[place] === 0) next[place] = states++;
        state = next[place] as number;
      }
      const bits = found[row >> 5] as Int32Array;
      bits[state] = (bits[state] as number) | (1 << (row & 31));
    }
  });
  link(next, found);
  return { next, found };
}

function link(next: Int16Array, found: readonly Int32Array[]): void {
  const shorter = new Int16Array(next.length / CLASSES); // the longest beginning that a state ends with
  const queue: number[] = [];
  for (let kind = 0; kind < CLASSES; kind += 1) if (next[kind] !== 0) queue.push(next[kind] as number);
  for (let at = 0; at < queue.length; at += 1) {
    const state = queue[at] as number;
    const other = shorter[state] as number;
    for (const bits of found) bits[state] = (bits[state] as number) | (bits[other] as number);
    for (let kind = 0; kind < CLASSES; kind += 1) {
      const place = state * CLASSES + kind;
      const elsewhere = next[other * CLASSES + kind] as number;
      if (next[place] === 0) {
        next[place] = elsewhere;
      } else {
        shorter[next[place] as number] = elsewhere;
        queue.push(next[place] as number);
      }
    }
  }
}
