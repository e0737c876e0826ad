// Builds dist/: CommonJS by tsc, and for each entry of package.json's `exports` an ES module that passes it on.
//
// There is one copy of the code, which both kinds of program load: a program whose parts are of both kinds has one
// log, one slot and one context, not two. `--install` first runs `npm ci` where node_modules is older than the lock.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const identifier = /^[A-Za-z_$][\w$]*$/;

function install() {
  const made = join(here, 'node_modules', '.package-lock.json');
  const lock = join(here, 'package-lock.json');
  if (existsSync(made) && statSync(made).mtimeMs >= statSync(lock).mtimeMs) return;
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit' });
}

/** Write only what is new, so that a build that changes nothing leaves the files' times alone. */
function put(file, text) {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function passOn(name) {
  const exported = require(join(here, 'dist', 'cjs', `${name}.js`));
  const names = Object.keys(exported).filter((key) => key !== 'default' && identifier.test(key));
  const lines = [`import all from '../cjs/${name}.js';`];
  const types = [`export * from '../cjs/${name}.js';`];
  if (names.length) lines.push(`export const { ${names.join(', ')} } = all;`);
  if ('default' in exported) {
    lines.push('export default all.default;');
    types.push(`import all from '../cjs/${name}.js';`, 'declare const preferred: typeof all.default;');
    types.push('export default preferred;');
  }
  put(join(here, 'dist', 'esm', `${name}.js`), lines.join('\n') + '\n');
  put(join(here, 'dist', 'esm', `${name}.d.ts`), types.join('\n') + '\n');
}

if (process.argv.includes('--install')) install();
const tsc = join(here, 'node_modules', 'typescript', 'bin', 'tsc');
execFileSync(process.execPath, [tsc, '-p', here], { stdio: 'inherit' });
put(join(here, 'dist', 'cjs', 'package.json'), '{ "type": "commonjs" }\n');
const entries = Object.values(JSON.parse(readFileSync(join(here, 'package.json'), 'utf8')).exports);
for (const entry of entries) {
  const name = basename(entry.require.default, '.js');
  if (existsSync(join(here, 'src', `${name}.ts`))) passOn(name);
}
