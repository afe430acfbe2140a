/**
 * `defineUpstream`: an HTTP client as `createUpstream` makes it, with a name and limits that all nodes keep together.
 * Exported as `longwatch/upstream`. Before each request it asks whoever keeps the limits here (`spending.ts`: the run
 * that it is sent in, else the worker), and hands over the answer; where there is no worker, nothing is limited.
 */
import type { Json } from '../../config/define/tracker';
import { marked, type DefinedUpstream, type LimitsDefinition } from '../../config/define/upstream';
import { ConfigError } from '../../config/errors';
import { resolveUpstream } from '../../config/resolve/upstream';
import type { Answer } from './answer';
import { createLimited, type RequestOptions, type Upstream, type UpstreamOptions } from './http';
import { permitFor, type Permit, type Wanted } from './spending';

/** An upstream with a name and limits: the client's options and the limits in one. */
export interface UpstreamDefinition extends UpstreamOptions, LimitsDefinition {}

/** The request of a client of one's own, as far as limits go by it. */
export type Reserved = Wanted;

export interface LimitedUpstream extends Upstream, DefinedUpstream {
  /**
   * For a client of one's own: takes from every limit what one request can cost at most. Tell its answer
   * (`permit.report`), or that it was never sent (`permit.release`).
   * @throws HoldError where a limit has nothing left: the run ends, and its member waits for that limit
   */
  reserve(request?: Partial<Reserved>): Promise<Permit>;
}

/**
 * Opens no connection yet. A mistake in the definition is told with the rest of the config, or when it is first used.
 */
export function defineUpstream(definition: UpstreamDefinition): LimitedUpstream {
  return marked(new DefinedClient(definition), definition);
}

class DefinedClient {
  private made: Upstream | undefined;

  constructor(private readonly definition: UpstreamDefinition) {}

  get<T = Json>(path: string, options?: RequestOptions): Promise<Answer<T>> {
    return this.client.get<T>(path, options);
  }

  post<T = Json>(path: string, body: Json | URLSearchParams, options?: RequestOptions): Promise<Answer<T>> {
    return this.client.post<T>(path, body, options);
  }

  async reserve({ method = 'GET', path = '/', id, signal }: Partial<Reserved> = {}): Promise<Permit> {
    return (await permitFor(this.definition.name, { method, path, id, signal })) ?? UNLIMITED;
  }

  async close(): Promise<void> {
    await this.made?.close();
  }

  private get client(): Upstream {
    return (this.made ??= this.make());
  }

  private make(): Upstream {
    const problems: string[] = [];
    resolveUpstream(this.definition, problems);
    if (problems.length > 0) throw new ConfigError(problems);
    const { limits = {}, name } = this.definition;
    return createLimited(this.definition, Object.keys(limits).length > 0 ? name : undefined);
  }
}

/** For a process in which nobody keeps limits. */
const UNLIMITED: Permit = { report: () => false, release: () => undefined, lose: () => undefined, maySend: true };
