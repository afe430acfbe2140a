/** Small drawings beside figures: sparklines, bars, meters. Drawn as SVG, without a library; charts are `chart.tsx`. */
import { percent } from '../lib/format';

const WIDTH = 200;
const HEIGHT = 22;

/** A line of the last values. The figure beside it says the newest one, so it is not read aloud. */
export function Spark({ values, top: upper }: { values: readonly (number | null)[]; top?: number }) {
  const known = values.filter((value) => value !== null);
  const top = Math.max(...known, upper ?? 0);
  const step = WIDTH / Math.max(1, values.length - 1);
  const y = (value: number): number => HEIGHT - 2 - (top > 0 ? (value / top) * (HEIGHT - 5) : 0);
  // A gap where a value is missing: it was not measured, which is not zero.
  let pen = 'M';
  let path = '';
  values.forEach((value, i) => {
    if (value === null) pen = 'M';
    else {
      path += `${pen}${(i * step).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = 'L';
    }
  });
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <line x1="0" x2={WIDTH} y1={HEIGHT - 1.5} y2={HEIGHT - 1.5} class="ground" vector-effect="non-scaling-stroke" />
      {known.length > 1 && <path d={path} vector-effect="non-scaling-stroke" />}
    </svg>
  );
}

/** How much of a whole; the words beside it say the figures. */
export function Meter({
  share,
  label,
  tone = 'accent',
}: {
  share: number;
  label: string;
  tone?: 'accent' | 'warn' | 'bad';
}) {
  const shown = Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0));
  return (
    <svg
      class={`meter ${tone}`}
      viewBox="0 0 96 8"
      width="96"
      height="8"
      role="img"
      aria-label={`${label}: ${percent(shown)}`}
    >
      <rect class="ground" width="96" height="8" rx="2" />
      <rect class="fill" width={96 * shown} height="8" rx="2" />
    </svg>
  );
}

export interface Bar {
  value: number;
  /** A class of the style sheet: `in-time`, `behind`, `failed`. */
  kind: string;
  /** The pointer and the screen reader are told this. */
  label: string;
}

/** One bar for each tick, the newest at the right. */
export function Bars({ bars, height = 40, width = 6 }: { bars: readonly Bar[]; height?: number; width?: number }) {
  const top = Math.max(...bars.map(({ value }) => value), 1);
  return (
    <svg class="bars" role="img" aria-label={summary(bars)} width={Math.max(1, bars.length) * width} height={height}>
      {bars.map(({ value, kind, label }, i) => {
        const size = Math.max(2, (value / top) * (height - 2));
        return (
          <rect key={i} class={kind} x={i * width} y={height - size} width={width - 2} height={size} rx="1">
            <title>{label}</title>
          </rect>
        );
      })}
    </svg>
  );
}

const summary = (bars: readonly Bar[]): string =>
  bars.length === 0 ? 'none yet' : `${bars.length}; the newest: ${bars.at(-1)!.label}`;
