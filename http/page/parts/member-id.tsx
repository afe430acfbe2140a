/** The column of a list of members that leads to the page of each. Used by the lists of a tracker. */
import { href } from '../lib/route';
import type { Column } from './table';
import { Data } from './text';

export const memberId = (tracker: string): Column<{ id: string }> => ({
  head: 'id',
  names: true,
  cell: ({ id }) => (
    <a href={href('trackers', tracker, 'members', id)}>
      <Data text={id} />
    </a>
  ),
});
