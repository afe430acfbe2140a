/**
 * How old a tracker's values are: a square a pool for each operation, the darker the older against what it may be;
 * and the oldest members by name. The figures are those that the pools' keepers tell.
 */
import { useState } from 'preact/hooks';
import type { Freshness as Told, FreshnessCell, OldestMember } from '../../../client/tracker/freshness';
import { at, get } from '../lib/api';
import { count, duration, plural, short } from '../lib/format';
import type { TrackerSummary } from '../lib/state';
import { serverNow } from '../lib/clock';
import { useAsked } from '../lib/use';
import { memberId } from '../parts/member-id';
import { Section } from '../parts/section';
import { Table, type Column } from '../parts/table';
import { Ago, Data, Trouble } from '../parts/text';
import { heat, HEATS, lifetimesOf, squaresOf } from '../lib/heat';

/** Keepers tell it each ten seconds or so. */
const EVERY_MS = 5_000;

export function Freshness({ tracker: { name } }: { tracker: TrackerSummary }) {
  const path = at('trackers', name, 'freshness');
  const { data, problem, again } = useAsked(path, (signal) => get<Told>(path, {}, signal), EVERY_MS);
  const enabled = data?.operations.filter((operation) => operation.enabled) ?? [];
  return (
    <Section title="Freshness" beside={<Legend />}>
      {problem && <Trouble words={problem.message} again={again} />}
      {data && data.cells.length === 0 && (
        <p class="quiet">No node has told the ages of its pools yet; they come some seconds after the first runs.</p>
      )}
      {data && data.cells.length > 0 && (
        <div class="heats">
          {enabled.map((operation) => (
            <Heat
              key={operation.name}
              name={operation.name}
              everyMs={operation.everyMs}
              pools={data.pools}
              cells={data.cells.filter((cell) => cell.operation === operation.name)}
            />
          ))}
        </div>
      )}
    </Section>
  );
}

function Legend() {
  return (
    <span class="legend" aria-hidden="true">
      age against interval or Expires:
      {HEATS.map(({ id, word }) => (
        <span key={id}>
          <svg width="10" height="10">
            <rect class={`heat ${id}`} width="10" height="10" />
          </svg>{' '}
          {word}
        </span>
      ))}
    </span>
  );
}

const ACROSS = 100;
const SIZE = 9;

interface HeatProps {
  name: string;
  everyMs: number;
  pools: number;
  cells: readonly FreshnessCell[];
}

/** One path for all squares of a heat: two thousand pools are six elements. */
function Heat({ name, everyMs, pools, cells }: HeatProps) {
  const [chosen, setChosen] = useState<number>();
  const byPool = new Map(cells.map((cell) => [cell.pool, cell]));
  const groups = squaresOf(pools, byPool, everyMs, ACROSS, SIZE);
  const width = Math.min(pools, ACROSS) * SIZE;
  const height = Math.ceil(pools / ACROSS) * SIZE;
  const point = (event: MouseEvent): void => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * Math.min(pools, ACROSS));
    const row = Math.floor(((event.clientY - box.top) / box.height) * Math.ceil(pools / ACROSS));
    const pool = row * ACROSS + column;
    setChosen(pool >= 0 && pool < pools ? pool : undefined);
  };
  const step = (event: KeyboardEvent): void => {
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: ACROSS, ArrowUp: -ACROSS }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    setChosen(Math.min(pools - 1, Math.max(0, (chosen ?? (by > 0 ? -1 : 0)) + by)));
  };
  const said = chosen === undefined ? summary(cells, everyMs) : cellSays(byPool.get(chosen), chosen, everyMs);
  return (
    <figure>
      <figcaption>
        <strong>
          <Data text={name} />
        </strong>{' '}
        <span class="quiet" aria-live="polite">
          {said}
        </span>
      </figcaption>
      <svg
        class="heatmap"
        viewBox={`0 0 ${width} ${height}`}
        width={width}
        height={height}
        role="application"
        aria-label={`Ages of ${name} by pool; arrow keys go from pool to pool`}
        tabIndex={0}
        onMouseMove={point}
        onMouseLeave={() => setChosen(undefined)}
        onKeyDown={step}
        onBlur={() => setChosen(undefined)}
      >
        {groups.map(({ id, path }) => (
          <path key={id} class={`heat ${id}`} d={path} />
        ))}
        {chosen !== undefined && (
          <rect
            class="chosen"
            x={(chosen % ACROSS) * SIZE}
            y={Math.floor(chosen / ACROSS) * SIZE}
            width={SIZE - 1}
            height={SIZE - 1}
          />
        )}
      </svg>
    </figure>
  );
}

function summary(cells: readonly FreshnessCell[], everyMs: number): string {
  const ages = cells.map(({ maxMs }) => maxMs ?? 0);
  const late = cells.filter((cell) => ['stale', 'ancient'].includes(heat(cell, everyMs))).length;
  const never = cells.reduce((sum, cell) => sum + cell.never, 0);
  const facts = [
    `every ${duration(everyMs)}`,
    `oldest ${duration(Math.max(0, ...ages))}`,
    ...(late > 0 ? [`${plural(late, 'pool')} past three times what values may be`] : []),
    ...(never > 0 ? [`${count(never)} never fetched`] : []),
  ];
  return facts.join(' · ');
}

function cellSays(cell: FreshnessCell | undefined, pool: number, everyMs: number): string {
  if (!cell) return `pool ${pool}: no node has told of it`;
  const { node, members, p50Ms, p95Ms, maxMs, never } = cell;
  const ages = `half within ${duration(p50Ms)}, 95 % within ${duration(p95Ms)}, oldest ${duration(maxMs)}`;
  const most = `at most ${short(lifetimesOf(cell, everyMs))} × what it may be`;
  return `pool ${pool} on ${node ?? 'no node'}: ${plural(members, 'member')}, ${ages}, ${most}${never > 0 ? `, ${count(never)} never fetched` : ''}`;
}

const OLDEST = (tracker: string): Column<OldestMember>[] => [
  memberId(tracker),
  { head: 'operation', cell: ({ operation }) => <Data text={operation} /> },
  { head: 'age', figure: true, cell: ({ ageMs }) => duration(ageMs) },
  { head: 'pool', figure: true, wide: true, cell: ({ pool }) => pool },
  { head: 'failures', figure: true, cell: ({ failures }) => count(failures) },
  { head: 'why', text: true, cell: ({ error, heldUntil }) => <Reason error={error} heldUntil={heldUntil} /> },
];

function Reason({ error, heldUntil }: { error: string | null; heldUntil: string | null }) {
  if (heldUntil !== null && Date.parse(heldUntil) > serverNow())
    return (
      <>
        left alone, <Ago at={heldUntil} />
      </>
    );
  return error === null ? <span class="quiet">—</span> : <Data text={error} most={140} />;
}

/** The members whose last success is the longest past. */
export function Oldest({ tracker: { name } }: { tracker: TrackerSummary }) {
  const path = at('trackers', name, 'oldest');
  const { data, problem, again } = useAsked(
    path,
    (signal) => get<{ items: OldestMember[] }>(path, { limit: 10 }, signal),
    EVERY_MS,
  );
  return (
    <Section title="Oldest">
      {problem && <Trouble words={problem.message} again={again} />}
      {data && data.items.length === 0 && <p class="quiet">No node has told of its oldest members yet.</p>}
      {data && data.items.length > 0 && (
        <Table
          caption="The oldest members"
          columns={OLDEST(name)}
          rows={data.items}
          keyOf={({ id, operation }) => `${operation} ${id}`}
        />
      )}
    </Section>
  );
}
