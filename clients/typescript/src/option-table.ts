/**
 * Every option of the configuration file, and what its value has to be. Both clients read the same file, so the names
 * are those of docs/clients.md; in a call they are written as usual in JavaScript (`diskMb` for `disk_mb`).
 */

/** A number, with its bounds. A call may go below `least`, in fractions, too: the file's are for people. */
export interface Range {
  least: number;
  most: number;
  whole?: boolean;
}

/** `object` and `rules` are told in the file and by the call, not in the environment; `list` there is `a,b`. */
export type Kind = 'text' | 'path' | 'list' | 'object' | 'rules' | Range | readonly string[];

const whole = (least: number, most: number): Range => ({ least, most, whole: true });
const seconds = (least: number, most: number): Range => ({ least, most });

/** What the store reads. */
export const STORE_OPTIONS = {
  url: 'text',
  service: 'text',
  certificate: 'path',
  certificateKey: 'path',
  apiKeyFile: 'path',
  roots: 'path',
  directory: 'path',
  fsync: ['always', 'interval', 'never'],
  fsyncSeconds: seconds(0.01, 3600),
  diskMb: whole(1, 1_000_000),
  whenFull: ['drop_oldest', 'drop_newest', 'block'],
  blockSeconds: seconds(0, 60),
  segmentMb: whole(1, 1_000),
  memoryKb: whole(0, 1_000_000),
  transports: 'list',
  batchEntries: whole(1, 10_000),
  batchKb: whole(1, 4_800),
  batchSeconds: seconds(0, 3600),
  compression: ['gzip', 'zstd', 'none'],
  timeoutSeconds: seconds(0.1, 600),
  exitSeconds: seconds(0, 600),
  integrity: ['none', 'ed25519'],
  signingKeyFile: 'path',
} as const satisfies Record<string, Kind>;

/** What the logger reads. */
export const LOGGER_OPTIONS = {
  name: 'text',
  level: 'text',
  levels: 'object',
  fields: 'object',
  sampling: 'rules',
  rates: 'rules',
  repeatsSeconds: seconds(0, 3600),
  privacy: 'object',
} as const satisfies Record<string, Kind>;

/** Names of the file that mean something to the Python client alone, and `$schema`. */
const PASSED_OVER = ['frame_variables', 'source', '$schema'];

/** What only a call can have. */
const OF_CALLS = ['serializers', 'config'];

/** `diskMb` -> `disk_mb`, as the configuration file has it. */
export function fileName(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const NAMES = [...Object.keys(STORE_OPTIONS), ...Object.keys(LOGGER_OPTIONS)];
const FILE_NAMES = [...NAMES.map(fileName), ...PASSED_OVER];

/** Return what is wrong with the names of a file; '' where nothing is. */
export function wrongInFile(told: object): string {
  return wrong(told, FILE_NAMES);
}

/** Return what is wrong with the names of a call; '' where nothing is. */
export function wrongInCall(told: object): string {
  return wrong(told, [...NAMES, ...OF_CALLS]);
}

function wrong(told: object, known: readonly string[]): string {
  const name = Object.keys(told).find((each) => !known.includes(each));
  return name === undefined ? '' : `there is no option ${JSON.stringify(name)}${nearest(name, known)}`;
}

/** Return the known name that a wrong one is nearest to, in words; all of them where none is near. */
export function nearest(name: string, known: readonly string[]): string {
  const plain = (text: string): string => text.toLowerCase().replaceAll('-', '_').slice(0, 100);
  const likeness = (each: string): number => (2 * common(plain(name), plain(each))) / (name.length + each.length);
  const [best = ''] = [...known].sort((one, other) => likeness(other) - likeness(one));
  return best && likeness(best) >= 0.5 ? `; did you mean ${JSON.stringify(best)}?` : `; there are ${known.join(', ')}`;
}

/** Return the length of the longest common subsequence. */
function common(one: string, other: string): number {
  let row = new Array<number>(other.length + 1).fill(0);
  for (const letter of one) {
    const next = [0];
    for (let at = 0; at < other.length; at++) {
      next.push(letter === other[at] ? row[at]! + 1 : Math.max(row[at + 1]!, next[at]!));
    }
    row = next;
  }
  return row[other.length]!;
}
