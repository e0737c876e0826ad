/** The levels of entries: pino's names and numbers for programs, Python's names for the ledger. */

export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal';
export type LevelOrSilent = Level | 'silent';

export const LEVELS: Readonly<Record<Level, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
};

export const SILENT = Infinity;

/** What entries say, so that one rule reads what programs of both languages log. */
export const TOLD: Readonly<Record<Level, string>> = {
  trace: 'TRACE',
  debug: 'DEBUG',
  info: 'INFO',
  warn: 'WARNING',
  error: 'ERROR',
  fatal: 'CRITICAL',
};

export const NAMES = Object.keys(LEVELS) as Level[];

const OTHER_NAMES: Readonly<Record<string, LevelOrSilent>> = {
  warning: 'warn',
  critical: 'fatal',
  notice: 'info',
  alert: 'fatal',
  crit: 'fatal',
  emerg: 'fatal',
  off: 'silent',
  notset: 'trace',
};

/**
 * The level that a name means: pino's, Python's (`WARNING`) and syslog's names, in any case.
 * Throws a `TypeError` for what is none, since a level that is misspelt would silence a program.
 */
export function levelOf(name: string): LevelOrSilent {
  const lower = String(name).trim().toLowerCase();
  if (Object.hasOwn(LEVELS, lower)) return lower as Level;
  if (lower === 'silent') return 'silent';
  const other = Object.hasOwn(OTHER_NAMES, lower) ? OTHER_NAMES[lower] : undefined;
  if (other !== undefined) return other;
  throw new TypeError(`no level: ${JSON.stringify(name)}; there are ${NAMES.join(', ')} and silent`);
}

/** The number of a level; `silent` is above all. */
export function numberOf(level: LevelOrSilent): number {
  return level === 'silent' ? SILENT : LEVELS[level];
}

/** What an entry says for a number of pino's, also of a level between the known ones. */
export function toldOf(number: number): string {
  let told = TOLD.trace;
  for (const name of NAMES) if (number >= LEVELS[name]) told = TOLD[name];
  return told;
}
