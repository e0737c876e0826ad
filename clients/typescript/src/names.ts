/**
 * Names of fields as they are written, `,"name":`, made and judged once for each of the names that a program
 * uses. What a name asks of privacy is known then, without a look at the line.
 */

/** What a name asks for: nothing, a walk over the entry, or one where its partner is in the entry, too. */
export const PLAIN = 0;
export const TELLING = 1;
export const PAIR_NAME = 2;
export const PAIR_VALUE = 4;

const MAX_NAMES = 2_000;
const MAX_LENGTH = 256;
const OWN = ['time', 'level', 'logger', 'message', 'trace_id', 'span_id', 'repeated', 'sampled'];

export class Names {
  /** What the names that every entry has ask for. */
  readonly base: number;
  /** Names that ask for nothing. */
  private readonly plain = new Map<string, string>();
  private readonly others = new Map<string, readonly [string, number]>();

  /** `judge` says what a name asks for. */
  constructor(private readonly judge: (name: string) => number, private readonly quote: (name: string) => string) {
    this.base = OWN.reduce((all, name) => all | judge(name), PLAIN);
  }

  /** A name's text where it asks for nothing and was seen before. */
  known(name: string): string | undefined {
    return this.plain.get(name);
  }

  /** A name's text, and what it asks for. */
  of(name: string): readonly [string, number] {
    const known = this.others.get(name);
    if (known !== undefined) return known;
    const cut = name.length > MAX_LENGTH ? `${name.slice(0, MAX_LENGTH)}…` : name;
    const asks = this.judge(cut);
    const made = [`,${this.quote(cut)}:`, asks] as const;
    if (name.length <= 64) this.remember(name, made);
    return made;
  }

  private remember(name: string, made: readonly [string, number]): void {
    if (this.plain.size + this.others.size >= MAX_NAMES) {
      this.plain.clear();
      this.others.clear();
    }
    if (made[1] === PLAIN) this.plain.set(name, made[0]);
    else this.others.set(name, made);
  }
}

/** Whether what names of one entry ask for is a walk. */
export function asksForWalk(asked: number): boolean {
  return (asked & TELLING) !== 0 || (asked & (PAIR_NAME | PAIR_VALUE)) === (PAIR_NAME | PAIR_VALUE);
}
