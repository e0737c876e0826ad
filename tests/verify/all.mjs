// Runs the JavaScript verifier over many bundles in one process: a JSON list of their bytes in base64 comes on
// standard input, a list of verdicts goes out.
import { pathToFileURL } from "node:url";

const { Key, Refused, verify } = await import(pathToFileURL(process.argv[2]).href);
const parts = [];
for await (const part of process.stdin) parts.push(part);
const { key, witness, quorum, bundles, bad_keys: bad, other_key: other } = JSON.parse(Buffer.concat(parts).toString());
const options = { keys: [Key.read(key)], witnesses: [Key.read(witness)], quorum };
const found = [];
for (const bundle of bundles) {
  const bytes = Buffer.from(bundle, "base64");
  // In two parts, so that lines are cut in places of all kinds.
  const half = Math.floor(bytes.length / 2);
  try {
    const checked = await verify([bytes.subarray(0, half), bytes.subarray(half)], options);
    found.push(checked.result(checked.newest.seconds));
  } catch (error) {
    const { kind, entry, line } = error instanceof Refused ? error : { kind: String(error), entry: 0, line: 0 };
    found.push({ kind, entry, line });
  }
}
// Behind them: what is said with the key of another log, and of keys that are none.
try {
  await verify([Buffer.from(bundles[0], "base64")], { ...options, keys: [Key.read(other)] });
} catch ({ kind, entry, line }) {
  found.push({ kind, entry, line });
}
for (const each of bad) {
  try {
    Key.read(each);
    found.push(true);
  } catch {
    found.push(false);
  }
}
console.log(JSON.stringify(found));
