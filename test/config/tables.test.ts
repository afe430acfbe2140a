/**
 * Every row of an option table reaches what runs: a definition that sets the option is compiled to options that have
 * the value at the row's path. A resolver that forgets an option would drop it without a word.
 */
import { resolveConfig } from '../../config/resolve/config';
import { read } from '../../config/resolve/given';
import { BUFFER_OPTIONS } from '../../workflows/buffer/options';
import { DURABLE_OPTIONS } from '../../workflows/durable/contract';
import { specsOf, type JobKind } from '../../workflows/job/options';
import type { OptionSpec } from '../../workflows/lib/options';
import { GATE_OPTIONS, OPERATION_OPTIONS, RECEIVE_OPTIONS, TRACKER_OPTIONS } from '../../workflows/tracker/options';

type Given = Record<string, unknown>;

const run = (): undefined => undefined;
const OTHER = 'ship';

/** A value that may stand, and that nobody has unless he sets it. */
function valueOf(spec: OptionSpec): number | boolean | string {
  switch (spec.kind) {
    case 'boolean':
      return spec.default !== true;
    case 'name':
      return OTHER;
    case 'label':
      return 'gpu';
    case 'word':
      return spec.words!.find((word) => word !== spec.default)!;
    default:
      return spec.min === spec.default ? spec.max! : spec.min!;
  }
}

/** The definition with the option in it, in the group that its name says. */
function withOption(base: Given, name: string, value: unknown): Given {
  const [group, key] = name.split('.');
  return key === undefined
    ? { ...base, [name]: value }
    : { ...base, [group!]: { ...(base[group!] as Given), [key]: value } };
}

/** The options of a tracker with this gate and this operation. */
function tracker(more: Given, operation: Given = {}): object {
  const operations = { location: { every: '1s', run, ...operation }, [OTHER]: { every: '1s', run } };
  return resolveConfig({ trackers: [{ name: 't', operations, ...more }] } as never).trackers[0]!.options;
}

const SQL: Record<JobKind, Given> = {
  regen: { set: { a: '1' } },
  decay: { where: 'true' },
  sweep: { due: 'at', handle: run },
};

function job(kind: JobKind, spec: OptionSpec): unknown {
  const base = { name: 'j', table: 'player', ...(spec.name === 'every' ? {} : { every: '5m' }), ...SQL[kind] };
  const config = { [`${kind}s`]: [withOption(base, spec.name, valueOf(spec))] };
  return read(resolveConfig(config).jobs[0]!.options as unknown as Given, spec.path);
}

/** The value at the option's path of what runs. */
const COMPILED: Record<string, [readonly OptionSpec[], (spec: OptionSpec) => unknown]> = {
  tracker: [TRACKER_OPTIONS, (spec) => read(tracker(withOption({}, spec.name, valueOf(spec))) as Given, spec.path)],
  gate: [
    GATE_OPTIONS,
    (spec) => read(tracker(withOption({ gate: { check: run } }, spec.name, valueOf(spec))) as Given, spec.path),
  ],
  receive: [
    RECEIVE_OPTIONS,
    (spec) => read(tracker(withOption({ receive: { handle: run } }, spec.name, valueOf(spec))) as Given, spec.path),
  ],
  operation: [
    OPERATION_OPTIONS,
    (spec) => {
      const base = spec.name.startsWith('skipWhile.') ? { skipWhile: { operation: OTHER } } : {};
      const options = tracker({}, withOption(base, spec.name, valueOf(spec)));
      return read(options as Given, `operations.location.${spec.path}`);
    },
  ],
  buffer: [
    BUFFER_OPTIONS,
    (spec) => {
      const buffers = [withOption({ name: 'b', run }, spec.name, valueOf(spec))];
      return read(resolveConfig({ buffers } as never).buffers[0]!.options as unknown as Given, spec.path);
    },
  ],
  regen: [specsOf('regen'), (spec) => job('regen', spec)],
  decay: [specsOf('decay'), (spec) => job('decay', spec)],
  sweep: [specsOf('sweep'), (spec) => job('sweep', spec)],
  activity: [
    DURABLE_OPTIONS,
    (spec) => {
      const activities = [withOption({ name: 'a', run }, spec.name, valueOf(spec))];
      return read(resolveConfig({ activities } as never).activities[0]!.options as unknown as Given, spec.path);
    },
  ],
};

test.each(
  Object.entries(COMPILED).flatMap(([what, [specs, compiled]]) => specs.map((spec) => ({ what, spec, compiled }))),
)('$spec.name ($what) reaches what runs', ({ spec, compiled }) => {
  expect(compiled(spec)).toBe(valueOf(spec));
});
