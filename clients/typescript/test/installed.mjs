// Puts a client in the place of the process's own for one test.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const pending = require('../dist/cjs/pending.js');

export const { getLogger } = pending;

export function replaceInstalled(client) {
  const before = pending.replace(client);
  return () => pending.replace(before);
}
