/** Entries that wait in memory for a disk that does not take them: in order, bounded in bytes. */

export class Bridge {
  private entries: Buffer[] = [];
  private head = 0;
  private bytes = 0;

  constructor(private readonly limit: number) {}

  get count(): number {
    return this.entries.length - this.head;
  }

  /** Keep a copy of an entry. Says whether there was room. */
  push(entry: Uint8Array): boolean {
    if (this.bytes + entry.length > this.limit) return false;
    this.entries.push(Buffer.from(entry));
    this.bytes += entry.length;
    return true;
  }

  first(): Buffer | undefined {
    return this.entries[this.head];
  }

  /** Forget the first entry. */
  shift(): void {
    this.bytes -= this.entries[this.head]!.length;
    this.head++;
    if (this.head * 2 < this.entries.length) return;
    this.entries = this.entries.slice(this.head);
    this.head = 0;
  }
}
