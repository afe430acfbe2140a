/** While nodes are compared before and after a balance by hand, none may balance by itself. */
import type { Stack } from './stack';

/** Nobody hears what the node asks of others until `during` is over: its row is written without it. */
export async function unheard<T>(stack: Stack, node: string, during: () => Promise<T>): Promise<T> {
  await stack.sql(`create or replace function unheard() returns trigger language plpgsql as $$
    begin new.placement := new.placement || '{"ask": null, "wants": {}}'; return new; end $$`);
  await stack.sql(`create trigger unheard before insert or update on longwatch.node
    for each row when (new.name = '${node}') execute function unheard()`);
  try {
    return await during();
  } finally {
    await stack.sql('drop trigger unheard on longwatch.node');
  }
}
