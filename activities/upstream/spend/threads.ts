/**
 * Limits for code in a worker thread: the thread asks its node for each request, by messages, and tells it the answers.
 * The node's side is called by `activities/tracker/shift/isolate.ts` for one run, the thread's by
 * `workers/isolate-thread.ts`.
 */
import type { MessagePort } from 'node:worker_threads';
import { HoldError, LONGEST_HOLD_MS } from '../../../config/define/errors';
import type { Permit, Replied, Spending, Wanted } from '../spending';

/** From the thread. */
type Question =
  | { ask: number; upstream: string; wanted: Wanted }
  | { end: number; how: 'release' | 'lose' }
  | { end: number; how: 'report'; answer: PlainAnswer };

/** From the node. */
type Reply =
  | { asked: number; permit: boolean }
  | { asked: number; error: { message: string; afterMs?: number } }
  /** To a report: whether a limit took the refusal for its own. */
  | { ended: number; isTaken: boolean };

interface PlainAnswer {
  status: number;
  headers: readonly (readonly [name: string, value: string])[];
  body: unknown;
  refusedForMs: number | undefined;
}

/** A permit of the node's is good for 25 s; the message that brought it took a moment. Milliseconds. */
const GOOD_MS = 20_000;

/** Answers a thread's questions until the port is closed. Permits that it leaves behind count as lost. */
export function answerThread(port: MessagePort, spending: Spending): () => void {
  const permits = new Map<number, Permit>();
  let isOver = false;
  const answer = async (id: number, upstream: string, wanted: Wanted): Promise<Reply> => {
    try {
      const permit = await spending.permit(upstream, wanted);
      // The thread was ended while its request stood in a line: it sends nothing any more.
      if (isOver) permit?.release();
      else if (permit) permits.set(id, permit);
      return { asked: id, permit: permit !== undefined };
    } catch (thrown) {
      const { message } = thrown as Error;
      return { asked: id, error: { message, ...(thrown instanceof HoldError && { afterMs: thrown.afterMs }) } };
    }
  };
  port.on('message', (question: Question) => {
    if ('ask' in question) {
      void answer(question.ask, question.upstream, question.wanted).then((reply) => port.postMessage(reply));
      return;
    }
    const permit = permits.get(question.end);
    permits.delete(question.end);
    if (question.how === 'report') {
      const isTaken = permit?.report(repliedOf(question.answer)) ?? false;
      port.postMessage({ ended: question.end, isTaken } satisfies Reply);
    } else if (question.how === 'lose') permit?.lose();
    else permit?.release();
  });
  port.unref();
  return () => {
    isOver = true;
    port.close();
    for (const permit of permits.values()) permit.lose();
    permits.clear();
  };
}

function repliedOf({ status, headers, body, refusedForMs }: PlainAnswer): Replied {
  const byName = new Map(headers);
  return { status, header: (name) => byName.get(name), body, ...(refusedForMs !== undefined && { refusedForMs }) };
}

/** The thread's side: what `get` of an upstream finds there. */
export class ThreadSpending implements Spending {
  private asked = 0;
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  /** Refusals that the node was told of, and has not judged yet. */
  private readonly refused = new Map<number, (isTaken: boolean) => void>();

  constructor(private readonly port: MessagePort) {
    port.on('message', (reply: Reply) => {
      if ('ended' in reply) {
        this.refused.get(reply.ended)?.(reply.isTaken);
        this.refused.delete(reply.ended);
        return;
      }
      this.waiting.get(reply.asked)?.(reply);
      this.waiting.delete(reply.asked);
    });
  }

  async permit(upstream: string, { method, path, id }: Wanted): Promise<Permit | undefined> {
    const ask = ++this.asked;
    const reply = await new Promise<Reply>((resolve) => {
      this.waiting.set(ask, resolve);
      // A signal does not go to another thread: whoever has fired it hears of that when the permit is there.
      this.send({ ask, upstream, wanted: { method, path, id } });
    });
    if ('error' in reply) throw errorOf(reply.error);
    if (!('permit' in reply && reply.permit)) return undefined;
    const judged = (): Promise<boolean> => new Promise((resolve) => void this.refused.set(ask, resolve));
    return new ThreadPermit(ask, (question) => this.send(question), judged);
  }

  private send(question: Question): void {
    this.port.postMessage(question);
  }
}

/** The right to send one request, whose node is told how it ended. */
class ThreadPermit implements Permit {
  private readonly monotonic = performance.now();
  private readonly wall = Date.now();
  private isOver = false;
  judged: Promise<boolean> | undefined;

  constructor(
    private readonly id: number,
    private readonly send: (question: Question) => void,
    /** The node's word on the refusal that it is told of. */
    private readonly judge: () => Promise<boolean>,
  ) {}

  get maySend(): boolean {
    return Math.max(performance.now() - this.monotonic, Date.now() - this.wall) < GOOD_MS;
  }

  /** Whether a limit takes a refusal for its own, the node knows: `judged` has its word. */
  report(answer: Replied): boolean {
    if (answer.refusedForMs !== undefined && !this.isOver) this.judged = this.judge();
    this.end({ end: this.id, how: 'report', answer: plain(answer) });
    return false;
  }

  release(): void {
    this.end({ end: this.id, how: 'release' });
  }

  lose(): void {
    this.end({ end: this.id, how: 'lose' });
  }

  private end(question: Question): void {
    if (!this.isOver) this.send(question);
    this.isOver = true;
  }
}

function plain(answer: Replied): PlainAnswer {
  const { status, body, refusedForMs } = answer;
  return { status, headers: [...(answer.headers?.() ?? [])], body: cloneable(body), refusedForMs };
}

/** A body that a `parse` of the user's made of it may be anything. */
function cloneable(body: unknown): unknown {
  try {
    return structuredClone(body);
  } catch {
    return undefined;
  }
}

function errorOf({ message, afterMs }: { message: string; afterMs?: number }): Error {
  if (afterMs === undefined) return new Error(message);
  return new HoldError(message, { afterMs: Math.min(afterMs, LONGEST_HOLD_MS), scope: 'member' });
}
