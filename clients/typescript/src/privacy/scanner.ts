/** Finds and replaces values in one text: gates first, then the expressions whose gates are open. */

import { Gates } from './gates.js';
import { type Detector, lowered } from './table.js';

export interface Span {
  readonly start: number;
  readonly end: number;
  readonly detector: Detector;
}

/** Characters that a text has at least, for anything to be looked for in it. */
const SHORTEST = 4;
const ESCAPED = /\\u00([2-7][0-9A-Fa-f])/g;

/** Looks for what some detectors find. */
export class Scanner {
  private readonly gates: Gates;
  private readonly ranks: ReadonlyMap<Detector, number>;

  constructor(detectors: readonly Detector[]) {
    this.gates = new Gates(detectors);
    this.ranks = new Map(detectors.map((each, rank) => [each, rank]));
  }

  /**
   * Whether nothing is found in the texts of a line of JSON. It may say that something is where nothing is, and
   * never the other way round: in a line without a backslash the texts are as they stand, and what an expression
   * finds in a text it finds in the line (test/privacy.test.mjs).
   */
  clean(line: string): boolean {
    const open = this.gates.open(line, true);
    return open !== undefined && (open.length === 0 || !tried(open, line));
  }

  /**
   * Where values stand: in order, and none over another. Of values that overlap, the one that begins first,
   * else ends last, else stands first in the table, says the kind, and what is hidden reaches as far as any.
   */
  find(text: string): Span[] {
    if (text.length < SHORTEST) return [];
    const found: Span[] = [];
    const open = this.gates.open(text) ?? [];
    if (open.length === 0) return [];
    const lower = lowered(text);
    for (const detector of open) {
      detector.find(text, lower, (start, end) => found.push({ start, end, detector }));
    }
    return found.length === 0 ? [] : this.merged(found);
  }

  /**
   * The text with `put(detector, value)` in place of each value; the same text where there is none. Where a
   * text has escapes as `\u0040` and something is found without them, it is given without them.
   */
  replace(given: string, put: (detector: Detector, value: string) => string): string {
    let text = given;
    let spans = this.find(text);
    if (text.includes('\\u00')) {
      const plain = text.replace(ESCAPED, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)));
      const inner = plain === text ? [] : this.find(plain);
      if (inner.length > 0) [text, spans] = [plain, inner];
    }
    if (spans.length === 0) return given;
    let shown = '';
    let at = 0;
    for (const { start, end, detector } of spans) {
      shown += text.slice(at, start) + put(detector, text.slice(start, end));
      at = end;
    }
    shown += text.slice(at);
    return shown === text ? given : shown;
  }

  private merged(found: Span[]): Span[] {
    const rank = (each: Span): number => this.ranks.get(each.detector) ?? 0;
    found.sort((a, b) => a.start - b.start || b.end - a.end || rank(a) - rank(b));
    const spans: { start: number; end: number; detector: Detector }[] = [];
    for (const each of found) {
      const before = spans.at(-1);
      if (before !== undefined && each.start < before.end) before.end = Math.max(before.end, each.end);
      else spans.push({ ...each });
    }
    return spans;
  }
}

function tried(detectors: readonly Detector[], line: string): boolean {
  let lower: string | undefined;
  return detectors.some((each) => each.tries(each.ignoresCase ? (lower ??= lowered(line)) : line));
}
