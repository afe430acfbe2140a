/**
 * A small chart of one or two lines over time, with marks for what operators did and for processes that began. Drawn as
 * SVG in the colours of the style sheet, so that a theme needs no drawing anew; the figures are also said in words, and
 * the pointer says those of its place.
 */
import { useState } from 'preact/hooks';
import type { Mark } from '../../../client/marks';
import { clock, shown, time } from '../lib/format';
import { pathOf, topOf } from '../lib/chart-path';

interface Line {
  label: string;
  values: readonly (number | null)[];
  /** The second line of a chart is quiet; failures are bad. */
  tone: 'accent' | 'quiet' | 'bad' | 'warn';
}

interface Props {
  title: string;
  /** Epoch milliseconds. */
  at: readonly number[];
  lines: readonly Line[];
  marks: readonly Mark[];
  form: (value: number) => string;
}

const WIDTH = 300;
const HEIGHT = 72;
const DAY_MS = 86_400_000;
/** The newest point may not be written yet, and one may be lost; a value before these is one of the past. */
const NEW_POINTS = 3;

export function Chart({ title, at, lines, marks, form }: Props) {
  const [place, setPlace] = useState<number>();
  const top = topOf(lines.map(({ values }) => values));
  const [first = 0, last = 1] = [at[0], at.at(-1)];
  const x = (ms: number): number => ((ms - first) / Math.max(1, last - first)) * WIDTH;
  const point = (event: MouseEvent): void => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    setPlace(Math.round(((event.clientX - box.left) / box.width) * (at.length - 1)));
  };
  const chosen = place === undefined ? undefined : at[place];
  const when = (ms: number): string =>
    last - first > DAY_MS ? time(ms).slice(5, 10) : clock(new Date(ms)).slice(0, 5);
  const nowOrAt = (i: number): string | undefined => (i < at.length - NEW_POINTS ? when(at[i]!) : undefined);
  return (
    <figure class="chart">
      <figcaption>
        {title}{' '}
        <span class="quiet">
          {lines.map((line) => sayAt(line, place, form, nowOrAt)).join(', ')}
          {chosen !== undefined && ` at ${when(chosen)}`}
        </span>
      </figcaption>
      <div class="plot">
        <span class="edge quiet" aria-hidden="true">
          {form(top)}
        </span>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${title}: ${lines.map((line) => sayAll(line, form, nowOrAt)).join('; ')}`}
          onMouseMove={point}
          onMouseLeave={() => setPlace(undefined)}
        >
          <path class="grid" d={`M0 .5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}`} />
          {lines.map(({ label, values, tone }) => (
            <path key={label} class={`line ${tone}`} d={pathOf(values, top, WIDTH, HEIGHT)} />
          ))}
          {marks
            .filter((mark) => mark.at >= first && mark.at <= last)
            .map((mark, i) => (
              <path key={i} class={`mark ${mark.kind}`} d={`M${x(mark.at)} 0V${HEIGHT}`}>
                <title>
                  {shown(`${when(mark.at)} ${mark.text}${mark.actor === null ? '' : ` by ${mark.actor}`}`, 300)}
                </title>
              </path>
            ))}
          {chosen !== undefined && <path class="chosen" d={`M${x(chosen)} 0V${HEIGHT}`} />}
        </svg>
      </div>
      <div class="times quiet" aria-hidden="true">
        <span>{when(first)}</span>
        <span>{when((first + last) / 2)}</span>
        <span>{when(last)}</span>
      </div>
    </figure>
  );
}

const known = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);

/** The time of a point; undefined: it is one of just now. */
type NowOrAt = (i: number) => string | undefined;

/** At the pointer; else the newest that is known, with its time where that is past. */
function sayAt({ label, values }: Line, place: number | undefined, form: (value: number) => string, time: NowOrAt) {
  const i = place ?? values.findLastIndex((value) => value !== null);
  const value = values[i];
  if (value === undefined || value === null) return `${label} not known`.trim();
  const past = place === undefined ? time(i) : undefined;
  return `${label} ${form(value)}${past === undefined ? '' : ` at ${past}`}`.trim();
}

function sayAll({ label, values }: Line, form: (value: number) => string, time: NowOrAt): string {
  const numbers = known(values);
  if (numbers.length === 0) return `${label} not known`.trim();
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  const past = time(values.findLastIndex((value) => value !== null));
  const last = `${past === undefined ? 'now' : `at ${past}`} ${form(numbers.at(-1)!)}`;
  return `${label} from ${form(least)} to ${form(most)}, ${last}`.trim();
}
