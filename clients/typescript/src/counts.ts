/** What became of entries, by reason: the client's statistics, and what it owes its reader as an entry. */

/** The reasons of docs/clients.md. */
export type Reason =
  | 'level'
  | 'sampled'
  | 'rate'
  | 'repeated'
  | 'full'
  | 'evicted'
  | 'disk'
  | 'corrupt'
  | 'refused'
  | 'altered'
  | 'oversized'
  | 'broken'
  | 'masking';

/** Counts of one thread. What another thread counts is added by `also`, which is asked each time. */
export class Counts {
  private readonly own = new Map<Reason, number>();
  private readonly reported = new Map<Reason, number>();

  constructor(private readonly also: () => Iterable<[Reason, number]> = () => []) {}

  /** Count `by` entries for a reason. */
  add(reason: Reason, by = 1): void {
    this.own.set(reason, (this.own.get(reason) ?? 0) + by);
  }

  /** Return all counts since the store was opened. */
  total(): Partial<Record<Reason, number>> {
    const all = new Map(this.own);
    for (const [reason, count] of this.also()) if (count > 0) all.set(reason, (all.get(reason) ?? 0) + count);
    return Object.fromEntries(all);
  }

  /** Return what was counted and is not yet in a report that was written. */
  untold(): Partial<Record<Reason, number>> {
    const entries = Object.entries(this.total()) as [Reason, number][];
    const news = entries.map(([reason, count]) => [reason, count - (this.reported.get(reason) ?? 0)] as const);
    return Object.fromEntries(news.filter(([, count]) => count > 0));
  }

  /** Note that a report of these counts was written. */
  told(counts: Partial<Record<Reason, number>>): void {
    for (const [reason, count] of Object.entries(counts) as [Reason, number][]) {
      this.reported.set(reason, (this.reported.get(reason) ?? 0) + count);
    }
  }
}
