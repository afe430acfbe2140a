/**
 * Makes all checks over all facts. Called by `Longwatch.doctor`; shown by
 * `cli/verbs/doctor.ts`.
 */
import type { Check, Finding, KnownFacts } from './check';
import { CHECKS } from './checks';
import type { Fact, Facts } from './facts';
import { errorText } from '../../workflows/lib/text';

/** A check that could not be made. */
export interface UnknownCheck {
  check: string;
  /** The things that it would have read. */
  reads: string;
  why: string;
}

export interface Diagnosis {
  /** Problems first. */
  findings: Finding[];
  /** Not known is not the same as well. */
  unknown: UnknownCheck[];
  /** How many checks were made. */
  checked: number;
}

export function diagnose(facts: Facts, checks: readonly Check[] = CHECKS): Diagnosis {
  const findings: Finding[] = [];
  const unknown: UnknownCheck[] = [];
  const known = Object.fromEntries(
    Object.entries(facts).map(([part, fact]: [string, Fact<unknown>]) => [part, fact.known ? fact.value : undefined]),
  ) as KnownFacts;
  for (const { id, reads, needs, look } of checks) {
    const missing = needs.map((part) => facts[part]).find((fact) => !fact.known);
    if (missing && !missing.known) {
      unknown.push({ check: id, reads, why: missing.why });
      continue;
    }
    try {
      findings.push(...look(known).map((finding) => ({ check: id, ...finding })));
    } catch (thrown) {
      // A row that nobody had in mind: it costs this check, and none of the others.
      unknown.push({ check: id, reads, why: `it cannot be judged: ${errorText(thrown)}` });
    }
  }
  findings.sort((a, b) => Number(a.severity === 'notice') - Number(b.severity === 'notice'));
  return { findings, unknown, checked: checks.length - unknown.length };
}
