/**
 * Privacy before disk: what policy says must not leave is hidden before the write-ahead log sees an entry.
 * A cheap gate lets through what holds nothing to hide, as it was written; the others are read and walked over,
 * by names, by paths and by the detector table.
 */

import { randomBytes } from 'node:crypto';
import { PAIR_NAME, PAIR_VALUE, PLAIN, TELLING } from '../names.js';
import { MASKED } from './checks.js';
import { FieldKeys } from './fields.js';
import { escaped } from './paths.js';
import type { DetectorAction, Policy } from './policy.js';
import { Scanner } from './scanner.js';
import { type Detector, PAIR_NAMES, PAIR_VALUES, TABLE, isFlat, kindOfName } from './table.js';
import { Tokens, ownKey, readKey } from './tokens.js';
import { type Action, NotMasked, type Rules, Walk } from './walk.js';
import { type Value, parsed, written } from './values.js';

export class Privacy {
  private readonly scanner: Scanner;
  private readonly rules: Rules;
  private readonly actions = new Map<string, DetectorAction>();
  private readonly allowed: RegExp | undefined;
  private readonly root: string | undefined;
  private tokens: Tokens | undefined;

  /** Read the keys that the policy names. `root` is where a key is kept that nobody names. Throws `OptionError`. */
  constructor(private readonly policy: Policy, root?: string) {
    for (const each of TABLE) this.actions.set(each.id, policy.action(each.kind, each.id, each.off));
    for (const kind of ['password', 'secret', 'phone']) this.actions.set(`name:${kind}`, policy.action(kind, kind));
    const detectors = TABLE.filter((each) => this.actions.get(each.id) !== 'off');
    this.scanner = new Scanner(detectors);
    this.allowed = allowedBy(policy.allow);
    this.root = root;
    if (policy.keyFile !== undefined) this.tokens = new Tokens(readKey(policy.keyFile));
    const keys = policy.encryption === undefined ? undefined : FieldKeys.of(policy.encryption);
    this.rules = this.rulesWith(keys);
  }

  /**
   * The line of an entry that may be written: the same where nothing is to be hidden. `telling` says whether its
   * names ask for a walk. Throws: then the entry must not be written.
   */
  line(line: string, telling = true): string {
    if (!this.policy.enabled || (!telling && this.scanner.clean(line))) return line;
    const entry = parsed(line);
    if (!(entry instanceof Map)) throw new NotMasked('an entry is an object');
    const walk = new Walk(this.rules);
    const walked = walk.entry(entry);
    return walk.changed ? written(walked) : line;
  }

  /** What a name asks for, by policy and table. */
  telling(name: string): number {
    if (!this.policy.enabled) return PLAIN;
    if (this.rules.kindOf(name) !== '' || isFlat(name) || this.policy.paths.names(name)) return TELLING;
    if (this.scanner.find(name).length > 0) return TELLING;
    const lower = name.toLowerCase();
    return (PAIR_NAMES.has(lower) ? PAIR_NAME : 0) | (PAIR_VALUES.has(lower) ? PAIR_VALUE : 0);
  }

  private rulesWith(keys: FieldKeys | undefined): Rules {
    return {
      scanner: this.scanner,
      paths: this.policy.paths,
      kindOf: (name) => this.kindOf(name),
      hide: (kind, value, action) => this.hide(kind, value, action),
      found: (detector: Detector) => this.actions.get(detector.id) as Action,
      named: (kind) => this.actions.get(`name:${kind}`) as Action,
      encrypt: (path: string, value: Value) => {
        if (keys === undefined) throw new NotMasked('there is no key');
        return keys.encrypt(path, value);
      },
    };
  }

  private kindOf(name: string): string {
    const kind = this.policy.names ? kindOfName(name) : '';
    return kind !== '' && this.actions.get(`name:${kind}`) !== 'off' ? kind : '';
  }

  private hide(kind: string, value: string, action: Action): string {
    if (MASKED.exec(value)?.[0].length === value.length || this.allowed?.test(value) === true) return value;
    if (action === 'drop') return `[[${kind}]]`;
    this.tokens ??= new Tokens(this.root === undefined ? randomBytes(32) : ownKey(this.root));
    const token = this.tokens.token(kind, value);
    return action === 'hash' ? token : `[[${kind}:${token}]]`;
  }
}

function allowedBy(values: readonly string[]): RegExp | undefined {
  if (values.length === 0) return undefined;
  return new RegExp(`^(?:${values.map((each) => each.split('*').map(escaped).join('[^\\n]*')).join('|')})$`);
}
