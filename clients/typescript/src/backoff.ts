/** How long to wait after failures: exponential with full jitter, so that many senders do not come back together. */

const BASE = 500;
const CAP = 60_000;

export class Backoff {
  failures = 0;

  constructor(private readonly random: () => number = Math.random) {}

  /** Count a failure and return the milliseconds to wait: a random part of 0.5 s, 1 s, ... 60 s, at least `least`. */
  failed(least: number): number {
    const bound = Math.min(CAP, BASE * 2 ** Math.min(this.failures, 16));
    this.failures++;
    return Math.max(least, this.random() * bound);
  }

  reset(): void {
    this.failures = 0;
  }
}
