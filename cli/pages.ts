/**
 * Long lists on the command line: the flags by which a part of one is asked for, and the loop over the library's pages
 * until it is whole. Used by the verbs of lists.
 */
import type { Command } from 'commander';
import type { Page, PageOptions } from '../client/page';
import { remark } from './output';
import { atLeastOne } from './verb';

export interface PageFlags {
  after?: string;
  limit: number;
}

/** @param usual so many, where no number is given; without it, the verb says it */
export const paged = (command: Command, usual?: number): Command =>
  command
    .option('--after <cursor>', 'the part that follows, as the one before said')
    .option('--limit <n>', 'at most so many', atLeastOne, usual);

/** As many as are wanted: a page of the library may have fewer, and has a thousand at most. */
export async function partOf<T>(
  ask: (page: PageOptions) => Promise<Page<T>>,
  { after, limit }: PageFlags,
): Promise<Page<T>> {
  const items: T[] = [];
  let next: string | null = after ?? null;
  while (items.length < limit) {
    const page: Page<T> = await ask({ after: next ?? undefined, limit: limit - items.length });
    items.push(...page.items);
    next = page.next;
    if (next === null) break;
  }
  return { items, next };
}

export function sayMore(next: string | null): void {
  if (next !== null) remark(`there may be more; go on with --after '${next}'`);
}
