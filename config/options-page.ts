/**
 * The page `docs/options.md`, made from the option tables so that it cannot say anything else. Called by
 * `scripts/options.ts`.
 */
import { BUFFER_OPTIONS } from '../workflows/buffer/options';
import { DURABLE_OPTIONS } from '../workflows/durable/contract';
import { CHUNK_OPTIONS, JOB_OPTIONS, SWEEP_OPTIONS } from '../workflows/job/options';
import { GATE_OPTIONS, OPERATION_OPTIONS, RECEIVE_OPTIONS, TRACKER_OPTIONS } from '../workflows/tracker/options';
import { LIMIT_OPTIONS, UPSTREAM_OPTIONS } from '../workflows/upstream/options';
import { formatValue } from './values';
import type { OptionSpec } from '../workflows/lib/options';

/** A line of the page has at most so many characters; tables and code have as many as they need. */
const COLUMNS = 120;

/** One chapter of the page: its words, then its table, then what cannot be in a table. */
interface Chapter {
  title: string;
  before: readonly string[];
  table: readonly OptionSpec[];
  after?: readonly string[];
}

const HEAD: readonly string[] = [
  '<!-- Written by `npm run docs:options` from workflows/*/options.ts and workflows/durable/contract.ts. Change it there. -->',
  '# Options',
  '',
  "A config module (`longwatch.config.ts`) can set all of this. A duration is text such as `'500ms'`, `'1s'`, `'10m'`,",
  "`'1d'`, or a number of milliseconds. The definition's value counts, else that of the config's `defaults`, else the",
  'default here; what is set by hand while the tracker runs counts before all of them, until it is taken back:',
  '',
  '```sh',
  'npx longwatch config characters                                          # every value, and where it comes from',
  'npx longwatch config characters --set operations.location.every=500ms    # change it while it runs',
  "npx longwatch config characters --set operations.location.every=         # back to the config's value",
  'npx longwatch config blocks --set maxConcurrency=8 flushInterval=never    # of a buffer or job, by the names below',
  '```',
];

const CHAPTERS: readonly Chapter[] = [
  {
    title: 'A tracker',
    before: [
      '`defineTracker({ name, … })`; defaults for all trackers: `defaults.tracker`. Its `name` and those of its operations begin with a',
      'small letter and have at most 63 letters, digits, `-` and `_`. No buffer or job of the config has its name.',
    ],
    table: TRACKER_OPTIONS,
    after: [
      'Code: `onError(error, { tracker, pool, operation, id, node })` is called for each error of an operation or the gate.',
    ],
  },
  {
    title: 'Its gate',
    before: [
      '`gate: { check, … }`; defaults: `defaults.gate`. `check({ signal, log })` answers whether the upstream is there; until it first does, the gate is closed.',
    ],
    table: GATE_OPTIONS,
  },
  {
    title: 'Members that receive',
    before: [
      '`receive: { handle, … }`, or a function alone; defaults: `defaults.tracker.receive`. Without `receive` a tracker’s members take no messages.',
    ],
    table: RECEIVE_OPTIONS,
    after: [
      'Code: `handle(message, context)`; `load(context)` and `unload({ tracker, id, log })` stand beside `receive`, and so does `state: { initial, version, migrate, down }`.',
      "`transaction: true` gives each message a transaction of its own (`context.query`). An operation’s `apply(value, context)` is a turn of its member as well, and `while: 'awake'`",
      'makes an operation run only for members that had a message or a timer within `idle`, or that another operation keeps awake.',
    ],
  },
  {
    title: 'An operation',
    before: [
      '`operations: { NAME: { … } }`; defaults for all operations: `defaults.operation`. On the command line, a path begins with `operations.NAME.`.',
    ],
    table: OPERATION_OPTIONS,
    after: [
      'Code: `run(context)` does the work for one member and returns its value; `whenClosed(context)` runs in its place while the gate is closed. `buffer` names a',
      '[buffer](buffers.md) that gets each changed value as an entry: `{ tracker, operation, id, value, fetchedAt }`.',
    ],
  },
  {
    title: 'A buffer',
    before: [
      '`defineBuffer({ name, run, … })`, see [buffers.md](buffers.md); defaults for all buffers: `defaults.buffer`. `start NAME --update` hands a changed definition',
      'to a running buffer, `config NAME --set` changes single options of it.',
    ],
    table: BUFFER_OPTIONS,
    after: [
      'Code: `run(entries, context)` handles a batch; `init({ cursor, … })` reads what is there at the start; `key` (a path or a function) makes entries one;',
      '`onError(error, { buffer, shard, batch, entries, node })`. Data: `state` (what each shard begins with), `metadata` (for its log lines).',
    ],
  },
  {
    title: 'A regen, sweep or decay',
    before: [
      '`regens: [defineRegen({ name, … })]`, `sweeps`, `decays`, see [jobs.md](jobs.md); defaults: `defaults.regen`, `defaults.sweep`,',
      '`defaults.decay`. These hold for all three. Beside them: `table`, `key` (the primary key unless told otherwise), and `cron` with `timeZone` in place of `every`.',
    ],
    table: JOB_OPTIONS,
  },
  {
    title: 'Chunks of a regen or decay',
    before: [
      'SQL of a regen: `set` (column → expression) and `where`; or `rule: { column, add, max, min }` and `where`; or `sql`, one UPDATE with `:range`. SQL of a decay: `where`, `moveTo`.',
      'Expressions may use `:elapsed` and `:due`. SQL is not changed by `config --set`, but by a new version of the definition: `start NAME --update`.',
    ],
    table: CHUNK_OPTIONS,
  },
  {
    title: 'Pages of a sweep',
    before: [
      'SQL: `due`, `order`. Code: `handle(rows, context)`. `retry.backoff` is `exponential` (the default) or `constant`.',
    ],
    table: SWEEP_OPTIONS,
  },
  {
    title: 'A durable activity',
    before: [
      '`defineActivity({ name, run, … })`, see [durable.md](durable.md). `retry.backoff` is `constant` (the default) or `exponential`. A compensation',
      '(`compensate`) takes `timeout`, `retry` and `lease` of its own; its attempts are 10, exponential from 1 s up to 1 min with jitter, unless told otherwise.',
    ],
    table: DURABLE_OPTIONS,
    after: [
      'Code: `run(input, context)`, `idempotencyKey(input)`, `lease.resource(input)`, `compensate(input, result, context)`.',
    ],
  },
  {
    title: 'An upstream',
    before: [
      '`defineUpstream({ name, origin, limits, … })`, see [upstreams.md](upstreams.md). The options of `createUpstream` stand there too (`origin`, `headers`, `connections`,',
      '`maxBodyBytes`, `timeoutMs`, `holdScope`, `defaultHoldMs`, `judge`, `exactIntegers`); they are the code’s, and are not changed while it runs.',
    ],
    table: UPSTREAM_OPTIONS,
  },
  {
    title: 'A limit of an upstream',
    before: [
      '`limits: { NAME: { key, … } }`. While it runs: `longwatch config --set upstreams.esi.limits.errors.tokens=50`, which every node heeds within a second or two.',
      'Code cannot be set (`key`, `secret`, `cost`, `refuses`, `learn`, `from`), nor `shape` to or from `calendar`, nor the window of a calendar limit.',
    ],
    table: LIMIT_OPTIONS,
  },
];

export function renderOptions(): string {
  return [HEAD, ...CHAPTERS.map(linesOf)].map((lines) => `${lines.join('\n')}\n`).join('\n');
}

function linesOf({ title, before, table, after }: Chapter): string[] {
  return [`## ${title}`, '', ...wrapped(before), '', ...tableOf(table), ...(after ? ['', ...wrapped(after)] : [])];
}

/** One paragraph, in lines; `code` stays on one. */
function wrapped(words: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of words.join(' ').match(/(?:`[^`]*`|[^\s`])+/g) ?? []) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && longer.length <= COLUMNS) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function tableOf(specs: readonly OptionSpec[]): string[] {
  return [
    '| option | kind | default | from | to | what it does |',
    '| --- | --- | --- | --- | --- | --- |',
    ...specs.map((spec) => {
      const fallback =
        spec.derived ?? (spec.default === undefined ? '**required**' : code(formatValue(spec, spec.default)));
      const words = (spec.words ?? []).map(code);
      const kind = (spec.kind === 'word' ? words : [spec.kind, ...words]).join(' or ');
      const cells = [code(spec.name), kind, fallback, bound(spec, spec.min), bound(spec, spec.max), spec.text];
      return `| ${cells.join(' | ')} |`;
    }),
  ];
}

const code = (text: string): string => `\`${text}\``;
const bound = (spec: OptionSpec, value: number | undefined): string =>
  value === undefined ? '' : code(formatValue(spec, value));
