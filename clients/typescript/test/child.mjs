// A program that logs, for tests that kill it: `node child.mjs '<options as JSON>' <name> <how many>`.
// It says each number that was accepted, once `append` returned. Without a number it goes on until it is killed.
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';

const { openStore } = createRequire(import.meta.url)('../dist/cjs/log-store.js');
const [options, name, count] = process.argv.slice(2);
const store = openStore(JSON.parse(options));

/** Write to the pipe, which does not block: where it is full, wait for its reader. */
function say(text) {
  for (;;) {
    try {
      return writeSync(1, text);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function* steps() {
  for (let number = 0; number < Number(count || Infinity); number++) {
    if (store.append(JSON.stringify({ name, number })) < 0) throw new Error('not accepted');
    say(`${number}\n`);
    yield;
  }
}

const all = steps();
const go = () => {
  for (let step = 0; step < 5; step++) if (all.next().done) return;
  setTimeout(go, 2);
};
go();
