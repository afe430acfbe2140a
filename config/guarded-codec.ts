/**
 * The user's codecs as one that may fail: each call has a deadline, what comes back is checked, and an error says that
 * it was the codec. The reason of a failure is encoded too (`workflows/lib/encoded-failures.ts` marks it); the
 * SDK does that outside of any catch, so where it cannot be encoded either, a fixed text stands in its place: else the
 * worker would end, and then the next one. Everything else is encoded or not written at all. Made by `wholeConverter`,
 * for clients and workers.
 */
import type { Payload, PayloadCodec } from '@temporalio/common';
import { FAILURE_MARK } from '../workflows/lib/encoded-failures';
import { CodecError } from './errors';

/** A workflow task has ten seconds. Milliseconds. */
const CODEC_MS = 5_000;
/** The limit for a failure that has to be told within the same task. Milliseconds. */
const FAILURE_MS = 1_000;
/** In the metadata of what stands for a failure that could not be encoded. */
const IN_PLACE = 'longwatch-unencoded-failure';

type Context = Parameters<PayloadCodec['encode']>[1];
type Way = 'encode' | 'decode';

export class GuardedCodec implements PayloadCodec {
  constructor(
    private readonly codecs: readonly PayloadCodec[],
    private readonly limits = { codecMs: CODEC_MS, failureMs: FAILURE_MS },
  ) {}

  async encode(payloads: Payload[], context?: Context): Promise<Payload[]> {
    const failure = payloads.length > 0 && payloads.every((payload) => payload.metadata?.[FAILURE_MARK] !== undefined);
    const plain = failure ? payloads.map(withoutMark) : payloads;
    const { codecMs, failureMs } = this.limits;
    try {
      return await this.through('encode', this.codecs, plain, context, failure ? failureMs : codecMs);
    } catch (error) {
      if (!failure) throw error;
      return payloads.map(inPlace);
    }
  }

  /** The text that stands for a failure was never encoded, and is the same whoever has written it. */
  async decode(payloads: Payload[], context?: Context): Promise<Payload[]> {
    const coded = payloads.filter((payload) => payload.metadata?.[IN_PLACE] === undefined);
    const decoded =
      coded.length === 0
        ? []
        : await this.through('decode', [...this.codecs].reverse(), coded, context, this.limits.codecMs);
    const next = decoded.values();
    return payloads.map((payload) => (payload.metadata?.[IN_PLACE] === undefined ? next.next().value! : inPlace()));
  }

  private async through(
    way: Way,
    codecs: readonly PayloadCodec[],
    payloads: Payload[],
    context: Context,
    limitMs: number,
  ): Promise<Payload[]> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${limitMs / 1_000} s`)), limitMs);
    });
    const work = async (): Promise<Payload[]> => {
      let coded = payloads;
      for (const codec of codecs) coded = checked(await codec[way](coded, context), coded.length);
      return coded;
    };
    try {
      return await Promise.race([work(), late]);
    } catch (error) {
      throw new CodecError(way, error);
    } finally {
      clearTimeout(timer);
    }
  }
}

function checked(given: unknown, count: number): Payload[] {
  const good = Array.isArray(given) && given.length === count && given.every((one) => typeof one === 'object' && one);
  if (!good) throw new Error(`it must give back as many payloads as it got (${count})`);
  return given as Payload[];
}

function withoutMark({ metadata, ...rest }: Payload): Payload {
  return { ...rest, metadata: Object.fromEntries(Object.entries(metadata!).filter(([name]) => name !== FAILURE_MARK)) };
}

/** It reads as the message and stack of a failure, and as a detail of one. */
const inPlace = (): Payload => ({
  metadata: { encoding: Buffer.from('json/plain'), [IN_PLACE]: Buffer.from('1') },
  data: Buffer.from(JSON.stringify({ message: UNSAID, stack_trace: '' })),
});

const UNSAID = "what went wrong could not be encoded: the payload codec failed; the worker's log says more";
