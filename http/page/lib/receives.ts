/**
 * Whether a tracker's definition says what its members do with messages: it has options for that then. Asked by the
 * tracker's page for its tab of mail, and by a member's page for the message that can be sent.
 */
import type { Setting } from '../../../client/settings';
import { at, get } from './api';
import { useAsked } from './use';

/** Options change seldom. Milliseconds. */
const EVERY_MS = 60_000;

export function useReceives(tracker: string): boolean {
  const path = at('trackers', tracker, 'config');
  const { data } = useAsked(`${path} receives`, (signal) => get<{ items: Setting[] }>(path, {}, signal), EVERY_MS);
  return data?.items.some(({ path: option }) => option.startsWith('receive.')) ?? false;
}
