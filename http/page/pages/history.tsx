/**
 * The charts of a thing's last hours, small and many, with marks for operators' acts and for processes that began; the
 * same marks stand below in words.
 */
import { useState } from 'preact/hooks';
import type { Mark } from '../../../client/marks';
import type { Series } from '../../../client/series';
import { at, get } from '../lib/api';
import { CHARTS, type Kind } from '../lib/charts';
import { count, shown, time } from '../lib/format';
import { serverNow } from '../lib/clock';
import { useAsked } from '../lib/use';
import { Chart } from '../parts/chart';
import { Section } from '../parts/section';
import { Data, State, Trouble } from '../parts/text';

const RANGES = { '1 h': 3_600_000, '6 h': 21_600_000, '24 h': 86_400_000, '30 d': 2_592_000_000 } as const;
type Range = keyof typeof RANGES;

/** A row of figures a minute; a little behind it is soon enough. */
const EVERY_MS = 30_000;

interface Props {
  kind: Kind;
  /** The names of its series, each a row of charts; undefined: those of a kind that begin with `prefix`. */
  names?: readonly string[];
  prefix?: string;
}

/** More rows than these are not drawn. */
const MOST = 12;

interface Told {
  rows: Series[];
  /** There are more of them. */
  isCut: boolean;
  marks: Mark[];
}

interface Times extends Record<string, string> {
  from: string;
}

export function History({ kind, names, prefix }: Props) {
  const [range, setRange] = useState<Range>('1 h');
  const key = JSON.stringify([kind, names ?? prefix, range]);
  const { data, problem, again } = useAsked<Told>(
    key,
    (signal) => ask({ kind, names, prefix }, range, signal),
    EVERY_MS,
  );
  return (
    <Section title="History" beside={<Ranges is={range} set={setRange} />}>
      {problem && <Trouble words={problem.message} again={again} />}
      {data && data.rows.length === 0 && <p class="quiet">Nothing was counted yet: figures are written each minute.</p>}
      {data?.rows.map((series) => (
        <Row
          key={series.name}
          series={series}
          marks={data.marks}
          named={data.rows.length > 1 || kind === 'operation'}
        />
      ))}
      {data?.isCut && <p class="more quiet">These are the first {count(MOST)}, by their names.</p>}
      {data && data.marks.length > 0 && <Marks marks={data.marks} />}
    </Section>
  );
}

async function ask({ kind, names, prefix }: Props, range: Range, signal: AbortSignal): Promise<Told> {
  const times = { from: new Date(serverNow() - RANGES[range]).toISOString() };
  const [{ rows, isCut }, marks] = await Promise.all([
    names ? askNames(kind, names, times, signal) : askPrefix(kind, prefix, times, signal),
    get<{ items: Mark[] }>('marks', times, signal),
  ]);
  return { rows: rows.filter(wasCounted), isCut, marks: marks.items };
}

type Rows = Pick<Told, 'rows' | 'isCut'>;

async function askNames(kind: Kind, names: readonly string[], times: Times, signal: AbortSignal): Promise<Rows> {
  const first = names.slice(0, MOST);
  const rows = await Promise.all(first.map((name) => get<Series>(at('history', kind, name), times, signal)));
  return { rows, isCut: names.length > MOST };
}

async function askPrefix(kind: Kind, prefix: string | undefined, times: Times, signal: AbortSignal): Promise<Rows> {
  const query = { ...times, prefix, limit: MOST };
  const { items, next } = await get<{ items: Series[]; next: string | null }>(at('history', kind), query, signal);
  return { rows: items, isCut: next !== null };
}

/** A thing that nobody has counted yet has points without a second in them. */
const wasCounted = ({ seconds }: Series): boolean => seconds.some((counted) => counted > 0);

function Row({ series, marks, named }: { series: Series; marks: readonly Mark[]; named: boolean }) {
  return (
    <div class="charts">
      {named && (
        <h3>
          <Data text={series.kind === 'operation' ? series.name.slice(series.name.indexOf('/') + 1) : series.name} />
        </h3>
      )}
      {CHARTS[series.kind].map(({ title, lines, form }) => (
        <Chart
          key={title}
          title={title}
          at={series.at}
          lines={lines.map(({ label, tone, values }) => ({ label, tone, values: values(series) }))}
          marks={marks}
          form={form}
        />
      ))}
    </div>
  );
}

function Ranges({ is, set }: { is: Range; set: (range: Range) => void }) {
  return (
    <span class="ranges" role="group" aria-label="Range of the charts">
      {(Object.keys(RANGES) as Range[]).map((range) => (
        <button key={range} type="button" class="link" aria-pressed={range === is} onClick={() => set(range)}>
          {range}
        </button>
      ))}
    </span>
  );
}

const WORDS = { act: 'notice', start: 'idle', restart: 'problem' } as const;

function Marks({ marks }: { marks: readonly Mark[] }) {
  return (
    <details class="marks">
      <summary>
        {marks.length === 1 ? '1 mark' : `${marks.length} marks`}: what operators did, and processes that began
      </summary>
      <ul class="lines">
        {[...marks].reverse().map((mark, i) => (
          <li key={i}>
            <span class="quiet">{time(mark.at)}</span>
            <State is={WORDS[mark.kind]} word={shown(mark.text, 80)} />
            <Data text={mark.subject} most={60} />
            {mark.actor !== null && (
              <span class="quiet">
                by <Data text={mark.actor} most={40} />
              </span>
            )}
          </li>
        ))}
      </ul>
    </details>
  );
}
