/** `state.json` of a slot: how far each transport is, replaced as a whole. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, replaceFile, type Surely } from './disk.js';

export interface Range {
  first: number;
  count: number;
}

export interface Progress {
  /** Number of the first entry that is not yet done. */
  acknowledged: number;
  /** A batch that was begun, which is sent again with the same range until it is answered. */
  sending?: Range;
}

export interface State {
  version: 1;
  transports: Record<string, Progress>;
}

const FILE = 'state.json';

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function progress(value: unknown): Progress | undefined {
  const { acknowledged, sending } = (value ?? {}) as Partial<Progress>;
  if (!isNumber(acknowledged)) return undefined;
  if (sending && isNumber(sending.first) && isNumber(sending.count) && sending.count > 0) {
    return { acknowledged, sending: { first: sending.first, count: sending.count } };
  }
  return { acknowledged };
}

/** What stands in `state.json`. `lost` says that it is there and cannot be read: then nothing is known of progress. */
export interface StateFile {
  state: State;
  lost: boolean;
}

/** Read a slot's state. Raises what the disk raises, except that there is none yet. */
export function readState(folder: string): StateFile {
  const nothing: State = { version: 1, transports: {} };
  let text: string;
  try {
    text = readFileSync(join(folder, FILE), 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return { state: nothing, lost: false };
  }
  try {
    const value = JSON.parse(text) as Partial<State>;
    if (value.version !== 1 || typeof value.transports !== 'object') return { state: nothing, lost: true };
    const all = Object.entries(value.transports ?? {}).map(([name, one]) => [name, progress(one)] as const);
    const kept = all.filter((pair): pair is [string, Progress] => pair[1] !== undefined);
    return { state: { version: 1, transports: Object.fromEntries(kept) }, lost: kept.length < all.length };
  } catch {
    return { state: nothing, lost: true };
  }
}

/** Replace a slot's state. Raises what the disk raises. */
export function writeState(folder: string, state: State, surely: Surely): void {
  replaceFile(join(folder, FILE), JSON.stringify(state), surely);
}
