/** The options of a thing: value, where it comes from, and a button to set it while it runs. */
import type { Setting } from '../../../client/settings';
import { setAction } from '../actions/units';
import { at, get } from '../lib/api';
import { useAsked } from '../lib/use';
import { ActButton } from './dialog';
import { Section } from './section';
import { Table, type Column } from './table';
import { Data, Trouble } from './text';

type List = 'trackers' | 'buffers' | 'jobs' | 'upstreams';

export function Settings({ list, name }: { list: List; name: string }) {
  const path = at(list, name, 'config');
  const { data, problem, again } = useAsked(path, (signal) => get<{ items: Setting[] }>(path, {}, signal), 5_000);
  const columns: Column<Setting>[] = [
    { head: 'option', names: true, cell: (setting) => <code>{setting.path}</code> },
    { head: 'value', cell: ({ value }) => <Data text={value} mono /> },
    {
      head: 'from',
      cell: ({ source, configured }) =>
        source === 'set' ? (
          <span class="warn">
            set by hand{configured === undefined ? '' : ', configured: '}
            {configured !== undefined && <Data text={configured} />}
          </span>
        ) : (
          <span class="quiet">{source}</span>
        ),
    },
    { head: 'actions', mute: true, cell: (setting) => <ActButton action={setAction(list, name, setting)} quiet /> },
  ];
  return (
    <Section title="Options" count={data?.items.length}>
      {problem && <Trouble words={problem.message} again={again} />}
      {data && (
        <Table
          caption="Options"
          columns={columns}
          // The ones that were set by hand are looked for first.
          rows={[...data.items].sort((a, b) => Number(b.source === 'set') - Number(a.source === 'set'))}
          keyOf={({ path: option }) => option}
        />
      )}
    </Section>
  );
}
