/** `longwatch doctor`: what is wrong, what to do next, and what could not be looked at. */
import type { Command } from 'commander';
import { ProblemsFoundError } from '../../client/errors';
import type { Diagnosis } from '../../client/doctor/doctor';
import { plural, print, printJson } from '../output';
import { inline } from '../plain';
import { verb, withLongwatch, type CommonFlags } from '../verb';

export function addDoctor(program: Command): void {
  verb(program, 'doctor', 'what is wrong, and what to do; ends with 1 where something is', [
    'longwatch doctor',
    'longwatch doctor --json',
  ]).action((flags: CommonFlags) =>
    withLongwatch(flags, async (longwatch) => {
      const diagnosis = await longwatch.doctor();
      await (flags.json ? printJson(diagnosis) : print(render(diagnosis)));
      // A program asks by the exit status; a notice alone is well.
      if (wrong(diagnosis)) throw new ProblemsFoundError(summary(diagnosis));
    }),
  );
}

const wrong = ({ findings, unknown }: Diagnosis): boolean =>
  unknown.length > 0 || findings.some(({ severity }) => severity === 'problem');

const summary = ({ findings, unknown, checked }: Diagnosis): string => {
  const problems = findings.filter(({ severity }) => severity === 'problem').length;
  const parts = [plural(problems, 'problem'), plural(findings.length - problems, 'notice')];
  if (unknown.length > 0) parts.push(`${plural(unknown.length, 'check')} not known`);
  return `${parts.join(', ')}, of ${plural(checked + unknown.length, 'check')}`;
};

function render({ findings, unknown, checked }: Diagnosis): string {
  const lines = findings.flatMap(({ severity, what, next }) => [`${severity}: ${inline(what)}`, `    ${inline(next)}`]);
  const reasons = new Map<string, number>();
  for (const { why } of unknown) reasons.set(why, (reasons.get(why) ?? 0) + 1);
  for (const [why, count] of reasons) lines.push(`not known, ${plural(count, 'check')}: ${inline(why)}`);
  if (findings.length + unknown.length === 0) lines.push(`${plural(checked, 'check')} made, all is well`);
  return lines.join('\n');
}
