/** `longwatch/dashboard`: the API and the page as one handler, for a program that mounts them. */
export { createDashboard } from '../http/app';
export type { Dashboard, DashboardOptions, From } from '../http/app';
export type { Authenticate } from '../http/gate';
export type { Hosts } from '../http/guard';
export type { Caller, Role } from '../http/who';
export type { Longwatch } from '../client/longwatch';
