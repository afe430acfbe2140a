/**
 * Makes all checks over all facts. Called by `Longwatch.doctor`; shown by
 * `cli/verbs/doctor.ts`.
 */
import type { Finding, KnownFacts } from './check';
import { CHECKS } from './checks';
import type { Fact, Facts } from './facts';

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

export function diagnose(facts: Facts): Diagnosis {
  const findings: Finding[] = [];
  const unknown: UnknownCheck[] = [];
  const known = Object.fromEntries(
    Object.entries(facts).map(([part, fact]: [string, Fact<unknown>]) => [part, fact.known ? fact.value : undefined]),
  ) as KnownFacts;
  for (const { id, reads, needs, look } of CHECKS) {
    const missing = needs.map((part) => facts[part]).find((fact) => !fact.known);
    if (missing && !missing.known) unknown.push({ check: id, reads, why: missing.why });
    else findings.push(...look(known).map((finding) => ({ check: id, ...finding })));
  }
  findings.sort((a, b) => Number(a.severity === 'notice') - Number(b.severity === 'notice'));
  return { findings, unknown, checked: CHECKS.length - unknown.length };
}
