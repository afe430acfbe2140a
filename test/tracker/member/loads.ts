/** Members of a simulated pool for whom `load` was called: `unload` is, once, when they have left its memory. */
import type { PoolMembers } from '../../../activities/tracker/member/pool-members';
import type { Turn } from '../../../activities/tracker/member/turn';

export class Loads {
  private readonly loaded = new Set<string>();

  constructor(private readonly members: PoolMembers) {}

  /** As `turns/run.ts` does before a handler. */
  begin({ member: { id } }: Turn): void {
    const member = this.members.member(id);
    if (member?.hooked !== false) return;
    member.wasHooked = true;
    this.loaded.add(id);
  }

  /** @param ids for whom `unload` is called */
  unloaded(ids: readonly string[]): void {
    for (const id of ids) if (!this.loaded.delete(id)) throw new Error(`${id} is unloaded, and was not loaded`);
    for (const id of this.loaded)
      if (!this.members.member(id)) throw new Error(`${id} has left the memory, and is not unloaded`);
  }
}
