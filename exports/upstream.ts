/** `longwatch/upstream`: what an operation needs to talk to an HTTP upstream. */
export { Answer, type Received } from '../activities/upstream/answer';
export { parseExact } from '../activities/upstream/body';
export type { Judgement } from '../activities/upstream/call';
export {
  defineUpstream,
  type LimitedUpstream,
  type Reserved,
  type UpstreamDefinition,
} from '../activities/upstream/define';
export type { Permit, Replied } from '../activities/upstream/spending';
export type {
  CostContext,
  DefinedUpstream,
  KeyContext,
  KeyFunction,
  LearnedLimit,
  LimitDefinition,
  LimitedRequest,
  LimitsDefinition,
} from '../config/define/upstream';
export type { FormatName, ShapeName } from '../workflows/upstream/options';
export { HoldError } from '../config/define/errors';
export { UpstreamError, type UpstreamFailure } from '../activities/upstream/errors';
export { createUpstream, type RequestOptions, type Upstream, type UpstreamOptions } from '../activities/upstream/http';
