/**
 * Key paths: which fields of an entry a policy names. A path is names with dots between them, compared without
 * regard to case. `*` is any one name, `**` any number of names, none included. Lists have no names of their
 * own: what is in them has the list's path.
 */

import { OptionError } from '../options.js';

export type PathAction = 'drop' | 'mask' | 'hash' | 'encrypt';
export const PATH_ACTIONS: readonly PathAction[] = ['drop', 'mask', 'hash', 'encrypt'];

const NAME = /^(?:[^.*\s](?:[^.*]*[^.*\s])?|\*|\*\*)$/;

/** What is to be done with fields, by their path. Throws `OptionError` for what is no path. */
export class Paths {
  private readonly rules: (readonly [RegExp, PathAction])[];
  private readonly lasts: ReadonlySet<string>;
  private readonly anyName: boolean;

  constructor(actions: Readonly<Record<string, PathAction>>) {
    const all = Object.entries(actions);
    this.rules = all.map(([path, action]) => [expression(path), action]);
    this.lasts = new Set(all.map(([path]) => last(path.toLowerCase())));
    this.anyName = this.lasts.has('*') || this.lasts.has('**');
  }

  /** Whether a path can end with this name. */
  names(name: string): boolean {
    return this.rules.length > 0 && (this.anyName || this.lasts.has(last(name.toLowerCase())));
  }

  /** What is to be done with a field; of several paths that fit, the first counts. */
  action(path: string): PathAction | '' {
    if (!this.names(path)) return '';
    const lower = path.toLowerCase();
    return this.rules.find(([rule]) => rule.test(lower))?.[1] ?? '';
  }
}

function last(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1);
}

function expression(path: string): RegExp {
  const names = path.toLowerCase().split('.');
  if (!names.every((name) => NAME.test(name))) {
    throw new OptionError(`privacy.paths: ${path} is no path: names, * or ** with dots between them, as in user.email`);
  }
  if (names.filter((name) => name === '**').length > 2) {
    throw new OptionError(`privacy.paths: ${path} has ** more than twice`);
  }
  const end = names.pop() as string;
  const any: Readonly<Record<string, string>> = { '**': '(?:[^.]+\\.)*', '*': '[^.]+\\.' };
  const pieces = names.map((name) => any[name] ?? `${escaped(name)}\\.`);
  pieces.push(end === '**' ? '.+' : end === '*' ? '[^.]+' : escaped(end));
  return new RegExp(`^(?:${pieces.join('')})$`, 's');
}

/** A text as an expression that is that text. */
export function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
