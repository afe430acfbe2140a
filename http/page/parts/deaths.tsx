/** The columns that all lists of dead letters have: of buffers (`pages/dead.tsx`) and of members (`pages/mail.tsx`). */
import { count } from '../lib/format';
import type { Column } from './table';
import { Ago, Data } from './text';

interface Death {
  diedAt: string;
  attempts: number;
  error: string;
  value: unknown;
}

/** @param what the head of the column with what it was: an entry, a message */
export function deathColumns(what: string): Column<Death>[] {
  return [
    { head: 'died', figure: true, cell: ({ diedAt }) => <Ago at={diedAt} /> },
    { head: 'attempts', figure: true, wide: true, cell: ({ attempts }) => count(attempts) },
    { head: 'error', text: true, cell: ({ error }) => <Data text={error} most={140} /> },
    { head: what, text: true, wide: true, cell: ({ value }) => <Data text={JSON.stringify(value)} most={70} mono /> },
  ];
}
