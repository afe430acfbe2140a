/** The head of the overview says what is wrong, the worst first: the doctor's sentences, each with its next step. */
import type { Diagnosis } from '../../../client/doctor/doctor';
import type { Finding } from '../../../client/doctor/check';
import { count, plural } from '../lib/format';
import { CommandLine, Data, State } from '../parts/text';
import { useState } from 'preact/hooks';

/** More than these are one click away. */
const FIRST = 8;

export function Findings({ doctor: { findings, unknown, checked } }: { doctor: Diagnosis }) {
  const [all, setAll] = useState(false);
  const listed = all ? findings : findings.slice(0, FIRST);
  return (
    <section class="findings" aria-labelledby="findings">
      <h1 id="findings">{checked === 0 ? 'Looking for what is wrong' : headline(findings, unknown.length)}</h1>
      {checked > 0 && findings.length === 0 && (
        <p class="quiet">{plural(checked, 'check')} made, none found anything.</p>
      )}
      <ul>
        {listed.map((finding, i) => (
          <li key={`${finding.check} ${i}`} class={finding.severity}>
            <State is={finding.severity} word={finding.severity === 'problem' ? 'Problem' : 'Notice'} />
            <p class="what">
              <Data text={finding.what} most={400} />
            </p>
            <Next next={finding.next} />
          </li>
        ))}
      </ul>
      {findings.length > FIRST && (
        <button type="button" class="link" onClick={() => setAll(!all)}>
          {all ? 'show the first ones only' : `show all ${count(findings.length)}`}
        </button>
      )}
      {unknown.length > 0 && (
        <details class="unknown">
          <summary>{plural(unknown.length, 'check')} could not be made, and what is not known is not well</summary>
          <ul>
            {unknown.map(({ check, reads, why }) => (
              <li key={check}>
                {reads}: <Data text={why} most={300} />
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

/** `2 problems, 1 notice`. */
function headline(findings: readonly Finding[], unknown: number): string {
  const problems = findings.filter(({ severity }) => severity === 'problem').length;
  const notices = findings.length - problems;
  const parts = [
    ...(problems > 0 ? [plural(problems, 'problem')] : []),
    ...(notices > 0 ? [plural(notices, 'notice')] : []),
  ];
  if (parts.length > 0) return parts.join(', ');
  return unknown > 0 ? 'Nothing is wrong as far as is known' : 'Nothing is wrong';
}

/** A command to copy, or a sentence. */
function Next({ next }: { next: string }) {
  const commands = next.split(/; (?=npx )/);
  return (
    <p class="next">
      {commands.every((command) => command.startsWith('npx ')) ? (
        commands.map((command) => <CommandLine key={command} text={command} />)
      ) : (
        <span class="quiet">
          <Data text={next} most={300} />
        </span>
      )}
    </p>
  );
}
