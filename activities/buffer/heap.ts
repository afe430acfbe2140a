/**
 * How full the heaps of this process are. Workflow code, and with it what the shards hold, lives in threads of the SDK,
 * each with a heap of its own. Node 20 tells only of the main one; through the inspector every version tells of all,
 * even of a busy thread. Read by the memory monitor (`memory.ts`).
 */
import { Session } from 'node:inspector';
import { getHeapStatistics } from 'node:v8';

/**
 * V8's limit counts the young generation, in which nothing stays: three semi-spaces, of 16 MB each by default in Node
 * 20 and 22, of 64 in Node 24 (`heap_size_limit` less `--max-old-space-size`).
 */
const YOUNG_BYTES = 3 * 64 * 1024 * 1024;

export interface HeapUse {
  /** In use in the fullest heap; of the threads' heaps as they were at the last call. */
  bytes: number;
  /** The size at which V8 gives up; the same for each of them. */
  limit: number;
}

export function heapUse(): () => HeapUse {
  return (shared ??= watchHeaps());
}

/** One a process, however many workers it has. */
let shared: (() => HeapUse) | undefined;

function watchHeaps(): () => HeapUse {
  const limit = oldGenerationLimit();
  const threads = new Map<string, number>();
  const session = new Session();
  session.connect();
  session.on('NodeWorker.attachedToWorker', ({ params }) => threads.set(params.sessionId, 0));
  session.on('NodeWorker.detachedFromWorker', ({ params }) => threads.delete(params.sessionId));
  session.on('NodeWorker.receivedMessageFromWorker', ({ params: { sessionId, message } }) => {
    const { result } = JSON.parse(message) as { result?: { usedSize?: number } };
    if (result?.usedSize !== undefined && threads.has(sessionId)) threads.set(sessionId, result.usedSize);
  });
  session.post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  const message = JSON.stringify({ id: 1, method: 'Runtime.getHeapUsage' });
  return () => {
    for (const sessionId of threads.keys()) session.post('NodeWorker.sendMessageToWorker', { sessionId, message });
    return { bytes: Math.max(getHeapStatistics().used_heap_size, ...threads.values()), limit };
  };
}

function oldGenerationLimit(): number {
  const flags = [...(process.env.NODE_OPTIONS ?? '').split(/\s+/), ...process.execArgv];
  const given = flags.map((flag) => /^--max[-_]old[-_]space[-_]size=(\d+)$/.exec(flag)?.[1]).findLast(Boolean);
  if (given !== undefined) return Number(given) * 1024 * 1024;
  const { heap_size_limit: limit } = getHeapStatistics();
  return Math.max(limit - YOUNG_BYTES, limit / 2);
}
