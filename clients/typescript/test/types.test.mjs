// The types that users get.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, test } from 'node:test';

const folder = fileURLToPath(new URL('./types/', import.meta.url));
const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url));
const copy = `${folder}made/`;
after(() => rmSync(copy, { recursive: true, force: true }));

test('a user\'s code compiles with strict settings, and what is wrong does not', () => {
  mkdirSync(copy, { recursive: true });
  const text = readFileSync(`${folder}user.ts`, 'utf8');
  writeFileSync(`${copy}user.mts`, text);
  const settings = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2022', '--exactOptionalPropertyTypes', '--skipLibCheck', '--esModuleInterop', '--types', 'node'];
  try {
    execFileSync(process.execPath, [tsc, ...settings, `${copy}user.mts`], { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    throw new Error(error.stdout, { cause: error });
  }
});
