import type { Policy } from './policy.js';
export class Privacy { constructor(readonly policy: Policy) {} line(line: string): string { return line; } }
