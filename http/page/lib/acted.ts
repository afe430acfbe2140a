/** Told when an action has ended: the lists beside it do not show what was before. From `dialog.tsx` to lists. */
const listeners = new Set<() => void>();

export function acted(): void {
  for (const listener of listeners) listener();
}

/** @returns ends it */
export function whenActed(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}
