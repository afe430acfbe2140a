/** `longwatch/upstream`: what an operation needs to talk to an HTTP upstream. */
export { Answer, type Received } from './answer';
export { parseExact } from './body';
export type { Judgement } from './call';
export { HoldError, UpstreamError, type UpstreamFailure } from './errors';
export { createUpstream, type RequestOptions, type Upstream, type UpstreamOptions } from './http';
