/** The charts of each kind of thing that has a history: which figures, in which form. Pure; for `history.tsx`. */
import type { Series } from '../../../client/series';
import { duration, percent, rate, short } from './format';

export type Kind = Series['kind'];

export interface ChartPlan {
  title: string;
  lines: { label: string; tone: 'accent' | 'quiet' | 'bad' | 'warn'; values: (series: Series) => (number | null)[] }[];
  form: (value: number) => string;
}

/** A count of a point as a rate: of the seconds in which somebody was there to count. */
export const perSecond =
  (figure: string) =>
  ({ figures, seconds }: Series): (number | null)[] =>
    (figures[figure] ?? []).map((value, i) => (value === null || !seconds[i] ? null : value / seconds[i]));

export const plain =
  (figure: string) =>
  ({ figures }: Series): (number | null)[] =>
    figures[figure] ?? [];

const oneLine = (
  title: string,
  form: ChartPlan['form'],
  values: (series: Series) => (number | null)[],
  tone: ChartPlan['lines'][number]['tone'] = 'accent',
): ChartPlan => ({ title, form, lines: [{ label: '', tone, values }] });

export const CHARTS: Record<Kind, readonly ChartPlan[]> = {
  operation: [
    oneLine('runs', rate, perSecond('fetched')),
    oneLine('failures', rate, perSecond('failed'), 'bad'),
    {
      title: 'late',
      form: duration,
      lines: [
        { label: 'p95', tone: 'accent', values: plain('lateP95Ms') },
        { label: 'most', tone: 'quiet', values: plain('lateMaxMs') },
      ],
    },
    {
      title: 'age of values',
      form: duration,
      lines: [
        { label: 'p95', tone: 'accent', values: plain('ageP95Ms') },
        { label: 'oldest', tone: 'quiet', values: plain('ageMaxMs') },
      ],
    },
  ],
  buffer: [
    {
      title: 'entries',
      form: rate,
      lines: [
        { label: 'in', tone: 'accent', values: perSecond('accepted') },
        { label: 'done', tone: 'quiet', values: perSecond('done') },
      ],
    },
    oneLine('pending', short, plain('pendingMost')),
    oneLine('running', short, plain('running')),
    oneLine('dead letters', short, plain('deadMost'), 'bad'),
  ],
  job: [
    oneLine('rows', rate, perSecond('rows')),
    oneLine('time a tick', duration, ({ figures }) =>
      (figures.ms ?? []).map((ms, i) => (ms === null || !figures.ticks?.[i] ? null : ms / figures.ticks[i])),
    ),
    oneLine('rows that failed', short, plain('failed'), 'bad'),
  ],
  bucket: [
    oneLine('tokens spent', rate, perSecond('spent')),
    {
      title: 'left',
      form: short,
      lines: [
        { label: '', tone: 'accent', values: plain('remaining') },
        { label: 'of', tone: 'quiet', values: plain('tokens') },
      ],
    },
    oneLine('closed', short, plain('closedMost'), 'bad'),
  ],
  node: [
    oneLine('pools', short, plain('pools')),
    {
      title: 'busy',
      form: percent,
      lines: [
        { label: 'event loop', tone: 'accent', values: plain('eventLoop') },
        { label: 'processor', tone: 'quiet', values: plain('cpu') },
      ],
    },
    oneLine('late p99', duration, plain('lateMsMost')),
    oneLine('memory', (bytes) => `${short(bytes / 1e6)} MB`, plain('rssBytes')),
  ],
};
