/** Every route of the API. Read by `app.ts`, `openapi.ts` and their tests. */
import type { Route } from '../route';
import { BUFFER_ROUTES } from './buffers';
import { CLUSTER_ROUTES } from './cluster';
import { DURABLE_ROUTES } from './durable';
import { HISTORY_ROUTES } from './history';
import { JOB_ROUTES } from './jobs';
import { LIFE_ROUTES } from './lives';
import { MAIL_ROUTES } from './mail';
import { MEMBER_ROUTES } from './members';
import { OVERVIEW_ROUTES } from './overview';
import { TRACKER_ROUTES } from './trackers';
import { UPSTREAM_ROUTES } from './upstreams';

export const ROUTES: readonly Route[] = [
  ...OVERVIEW_ROUTES,
  ...TRACKER_ROUTES,
  ...MEMBER_ROUTES,
  ...LIFE_ROUTES,
  ...MAIL_ROUTES,
  ...BUFFER_ROUTES,
  ...JOB_ROUTES,
  ...CLUSTER_ROUTES,
  ...UPSTREAM_ROUTES,
  ...DURABLE_ROUTES,
  ...HISTORY_ROUTES,
];
