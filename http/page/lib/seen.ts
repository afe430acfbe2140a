/**
 * A row of links that scrolls in itself where the window is narrow: the link to where the reader is comes into sight.
 * Used by the rail of pages and the tabs of a thing.
 */
import { useEffect, useRef } from 'preact/hooks';
import type { RefObject } from 'preact';

/** Pixels between it and the edge. */
const BESIDE = 8;

/** @param is the link that is the current one; it may have changed when this has */
export function useCurrentSeen(is: string): RefObject<HTMLElement | null> {
  const row = useRef<HTMLElement>(null);
  useEffect(() => {
    const show = (): void => {
      if (row.current) bring(row.current);
    };
    show();
    // A phone that is turned.
    addEventListener('resize', show);
    return () => removeEventListener('resize', show);
  }, [is]);
  return row;
}

/** `scrollIntoView` would move the page as well. */
function bring(row: HTMLElement): void {
  const current = row.querySelector('[aria-current]');
  if (!current) return;
  const [around, link] = [row.getBoundingClientRect(), current.getBoundingClientRect()];
  if (link.right > around.right) row.scrollLeft += link.right - around.right + BESIDE;
  else if (link.left < around.left) row.scrollLeft -= around.left - link.left + BESIDE;
}
