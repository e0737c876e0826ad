/** Something to wait for, with a time-out: the worker's parts sleep on it and are woken together. */

export class Signal {
  private waiting = new Set<() => void>();

  /** Wake everybody who waits now. */
  fire(): void {
    const woken = this.waiting;
    this.waiting = new Set();
    for (const wake of woken) wake();
  }

  /** Wait until it is fired, or so many milliseconds. Does not keep the process alive. */
  wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.min(milliseconds, 2 ** 31 - 1));
      this.waiting.add(wake);
    });
  }
}
