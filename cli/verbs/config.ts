/**
 * `longwatch config`: every option of a running tracker, buffer or job with its source, and `--set` to change some
 * while it runs.
 */
import type { Command } from 'commander';
import { lazy } from '../lazy';
import { print, printJson, remark, table } from '../output';
import { operatorVerb, withLongwatch, type OperatorFlags } from '../verb';

interface Flags extends OperatorFlags {
  set?: string[];
}

export function addConfig(program: Command): void {
  operatorVerb(program, 'config <name>', 'its options and where each comes from; or change some while it runs', [
    'longwatch config characters',
    'longwatch config characters --set operations.location.every=500ms operations.ship.enabled=false',
    "longwatch config characters --set operations.location.every=   # back to the config's value",
    'longwatch config blocks --set maxConcurrency=8 flushInterval=never',
  ])
    .option('--set <path=value...>', 'change options while it runs; an empty value takes a change back')
    .action((name: string, flags: Flags) => config(name, flags));
}

async function config(name: string, flags: Flags): Promise<void> {
  const changes = Object.fromEntries((flags.set ?? []).map((text) => lazy.change().splitChange(text)));
  await withLongwatch(flags, async (longwatch) => {
    const kind = await longwatch.kindOf(name);
    const handle = longwatch[kind](name);
    const changed = flags.set === undefined ? undefined : await handle.set(changes, { why: flags.why });
    const settings = await handle.config();
    if (flags.json)
      return printJson({
        [kind]: name,
        ...(changed ? { changed: changed.changed } : {}),
        settings,
      });
    const shown = flags.set === undefined ? settings : settings.filter((setting) => setting.path in changes);
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
