/** `longwatch audit`: what operators did, the newest first. */
import type { Command } from 'commander';
import type { AuditRow } from '../../client/audit';
import { changeText } from '../../client/audit-change';
import { LAST_TIME } from '../../workflows/lib/time';
import { UsageError } from '../errors';
import { inline } from '../plain';
import { print, printJson, short, table } from '../output';
import { paged, partOf, sayMore, type PageFlags } from '../pages';
import { isBareNumber, timeSpan, verb, withLongwatch, type CommonFlags } from '../verb';

interface Flags extends CommonFlags, PageFlags {
  subject?: string;
  since?: string;
}

export function addAudit(program: Command): void {
  const listed = verb(program, 'audit [list]', 'what operators did: who, what, why, and what came of it', [
    'longwatch audit',
    'longwatch audit --subject characters --since 24h',
    'longwatch audit list --subject node/worker-1 --since 2026-11-28 --json',
  ])
    .option('--subject <name>', 'only what was done to it: tracker/characters, characters, or a kind, such as node')
    .option('--since <time>', 'only since then: a date, or how long ago (30m, 24h, 7d)');
  paged(listed, 50).action((list: string | undefined, flags: Flags) => audit(list, flags));
}

async function audit(list: string | undefined, flags: Flags): Promise<void> {
  if (list !== undefined && list !== 'list') throw new UsageError(`audit has no '${list}'; it has: list`);
  const { subject } = flags;
  const sinceOf = flags.since === undefined ? undefined : timeOf(flags.since);
  await withLongwatch(flags, async (longwatch) => {
    const since = sinceOf?.(Date.parse(await longwatch.now()));
    const { items: rows, next } = await partOf((page) => longwatch.auditPage({ subject, since, ...page }), flags);
    if (flags.json) return printJson({ audit: rows, next });
    if (rows.length === 0) return print('nothing is listed');
    await print(
      table(
        [
          { head: 'at' },
          { head: 'who' },
          { head: 'via' },
          { head: 'what' },
          { head: 'to' },
          { head: 'change' },
          { head: 'outcome' },
          { head: 'why' },
        ],
        rows.map((row) => [
          row.at,
          row.actor,
          row.via,
          row.what,
          row.subject,
          changeOf(row),
          outcomeOf(row),
          short(inline(row.why ?? ''), 100),
        ]),
      ),
    );
    sayMore(next);
  });
}

/** @returns the time, by that of the database's clock: that of this machine may be another one */
function timeOf(text: string): (now: number) => Date {
  const ago = timeSpan(text);
  // A number alone is neither a date nor a time, whatever JavaScript reads in it.
  const date = isBareNumber(text) ? NaN : Date.parse(text);
  const at = ago === undefined ? date : Date.now() - ago;
  if (Number.isNaN(at) || Math.abs(at) > LAST_TIME || (ago ?? 0) < 0) {
    throw new UsageError(`--since must be a date or how long ago (30m, 24h, 2026-11-28T12:00Z), not '${text}'`);
  }
  return (now) => new Date(ago === undefined ? at : now - ago);
}

/** A row without an answer may still be carried out, or its process has ended. */
const outcomeOf = ({ outcome, error }: AuditRow): string =>
  `${outcome ?? 'not noted'}${error === undefined ? '' : `: ${short(inline(error), 60)}`}`;

/** The rest is in `--json`. */
const changeOf = ({ before, after }: AuditRow): string => short(changeText(before, after), 80);
