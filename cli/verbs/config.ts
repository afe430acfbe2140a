/**
 * `longwatch config`: every option of a running tracker, buffer or job with its source, and `--set` to change some
 * while it runs.
 */
import type { Command } from 'commander';
import { UsageError } from '../errors';
import { lazy } from '../lazy';
import { print, printJson, remark, table } from '../output';
import { operatorVerb, withLongwatch, type OperatorFlags } from '../verb';

interface Flags extends OperatorFlags {
  set?: string[];
}

export function addConfig(program: Command): void {
  operatorVerb(program, 'config [name]', 'its options and where each comes from; or change some while it runs', [
    'longwatch config characters',
    'longwatch config characters --set operations.location.every=500ms operations.ship.enabled=false',
    "longwatch config characters --set operations.location.every=   # back to the config's value",
    'longwatch config blocks --set maxConcurrency=8 flushInterval=never',
    'longwatch config upstreams.esi                                 # the limits of an upstream',
    'longwatch config --set upstreams.esi.limits.errors.tokens=50',
  ])
    .option('--set <path=value...>', 'change options while it runs; an empty value takes a change back')
    .action((name: string | undefined, flags: Flags) => config(name, flags));
}

async function config(name: string | undefined, flags: Flags): Promise<void> {
  const changes = Object.fromEntries((flags.set ?? []).map((text) => lazy.change().splitChange(text)));
  const { kind, subject, wanted } = subjectOf(name, changes);
  await withLongwatch(flags, async (longwatch) => {
    const of = kind ?? (await longwatch.kindOf(subject));
    const handle = of === 'upstream' ? longwatch.upstream(subject) : longwatch.unit(of, subject);
    const changed = flags.set === undefined ? undefined : await handle.set(wanted, { why: flags.why });
    const settings = await handle.config();
    if (flags.json)
      return printJson({
        [of]: subject,
        ...(changed ? { changed: changed.changed } : {}),
        settings,
      });
    const shown = flags.set === undefined ? settings : settings.filter((setting) => setting.path in wanted);
    await print(
      table(
        [{ head: 'option' }, { head: 'value' }, { head: 'from' }],
        shown.map((setting) => [
          setting.path,
          setting.value,
          setting.configured === undefined ? setting.source : `${setting.source} (configured: ${setting.configured})`,
        ]),
      ),
    );
    if (changed && !changed.changed) remark('nothing was different');
  });
}

const UPSTREAMS = 'upstreams.';

/** The unit, and its changes. An upstream is named by its path: `upstreams.esi`, or within the changes. */
function subjectOf(
  name: string | undefined,
  changes: Record<string, string>,
): { kind?: 'upstream'; subject: string; wanted: Record<string, string> } {
  const paths = Object.keys(changes);
  const given = name?.startsWith(UPSTREAMS) ? name : undefined;
  if (name !== undefined && given === undefined && !paths.some((path) => path.startsWith(UPSTREAMS)))
    return { subject: name, wanted: changes };
  const named = new Set(paths.filter((path) => path.startsWith(UPSTREAMS)).map((path) => path.split('.')[1]!));
  if (given !== undefined) named.add(given.slice(UPSTREAMS.length));
  const [upstream] = named;
  if (upstream === undefined || named.size > 1 || (name !== undefined && given === undefined))
    throw new UsageError(
      'name one tracker, buffer, job or upstream: longwatch config characters, or longwatch config upstreams.esi',
    );
  const prefix = `${UPSTREAMS}${upstream}.`;
  const wanted = Object.entries(changes).map(([path, value]) => [
    path.startsWith(prefix) ? path.slice(prefix.length) : path,
    value,
  ]);
  return { kind: 'upstream', subject: upstream, wanted: Object.fromEntries(wanted) as Record<string, string> };
}
