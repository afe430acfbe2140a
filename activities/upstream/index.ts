/** `longwatch/upstream`: what an operation needs to talk to an HTTP upstream. */
export { Answer } from './call';
export { HoldError, UpstreamError, type UpstreamFailure } from './errors';
export { createUpstream, type RequestOptions, type Upstream, type UpstreamOptions } from './http';
