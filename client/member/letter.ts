/**
 * From a message, and what is said beside it, to a letter that can be stored: checked here, so that one that cannot be
 * harms no other of its batch. Pure. Called by `handle.ts`; next is `tracker-sender.ts`.
 */
import { MEMBER } from '../../activities/tracker/member/constants';
import type { Address, Trace } from '../../activities/tracker/member/types';
import type { Duration } from '../../config/define/types';
import { formatDuration, parseDuration } from '../../config/values';
import { utf8Bytes } from '../../workflows/lib/size';
import { errorMessage, unstorable } from '../../workflows/lib/text';
import { NAME_PATTERN } from '../../workflows/lib/options';
import { idProblem } from '../../workflows/tracker/id';
import { InvalidIdError } from '../errors';
import { InvalidMessageError } from './errors';

interface CommonOptions {
  /** The caller's own id of what it does: it stands in the handler's logs. At most 200 bytes. */
  requestId?: string;
  /** W3C trace context, as the header of that name has it: the handler's logs have it too. */
  traceparent?: string;
  /** Gives up at once; what is stored by then stays. */
  signal?: AbortSignal;
}

export interface SendOptions extends CommonOptions {
  /** The handler's reply goes there as a message: the id of a member of the same tracker, or a member of any. */
  replyTo?: string | Address;
  /** How long to wait for room in the mailbox, or for a database that is away. @default '5s', up to 1d */
  timeout?: Duration;
}

export interface RequestOptions extends CommonOptions {
  /**
   * How long to wait for the reply. A handler begins only before that; one that has begun goes on.
   * @default '5s', up to 5m
   */
  timeout?: Duration;
}

/** A message that can be stored. */
export interface Letter {
  readonly member: string;
  readonly json: string;
  /** Bytes of that JSON. */
  readonly bytes: number;
  readonly replyTo?: Address;
  readonly trace?: Trace;
  /** Somebody waits for the reply: under this id, for so long. */
  readonly request?: { readonly id: string };
  readonly timeoutMs: number;
}

const SECOND = 1_000;
const DEFAULT_TIMEOUT_MS = 5 * SECOND;
/** Below `requestAgainMs`, past which a request that is told again is refused. */
export const LONGEST_REQUEST_MS = 300 * SECOND;
const LONGEST_SEND_MS = 86_400 * SECOND;
const REQUEST_ID_BYTES = 200;
const TRACEPARENT = /^[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** @throws InvalidIdError, InvalidMessageError */
export function letterOf(to: Address, message: unknown, options: SendOptions, request?: { id: string }): Letter {
  const problem = idProblem(to.id);
  if (problem !== undefined) throw new InvalidIdError('the member', problem);
  const json = jsonOf(message);
  const bytes = utf8Bytes(json);
  if (bytes > MEMBER.messageBytes) {
    throw new InvalidMessageError(`the message has ${bytes} bytes of JSON; ${MEMBER.messageBytes} are the limit`);
  }
  const trace = traceOf(options);
  return {
    member: to.id,
    json,
    bytes,
    ...(options.replyTo !== undefined && { replyTo: addressOf(options.replyTo, to.tracker) }),
    ...(trace && { trace }),
    ...(request && { request }),
    timeoutMs: timeoutOf(options.timeout, request ? LONGEST_REQUEST_MS : LONGEST_SEND_MS),
  };
}

function jsonOf(message: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(message);
  } catch (error) {
    throw new InvalidMessageError(`the message cannot be written as JSON: ${errorMessage(error)}`, { cause: error });
  }
  if (json === undefined) throw new InvalidMessageError(`the message is ${typeof message}, which JSON cannot say`);
  return json;
}

function addressOf(given: string | Address, tracker: string): Address {
  const address = typeof given === 'string' ? { tracker, id: given } : { tracker: given.tracker, id: given.id };
  const problem = idProblem(address.id);
  if (problem !== undefined) throw new InvalidMessageError(`replyTo: ${problem}`);
  if (!NAME_PATTERN.test(address.tracker)) {
    throw new InvalidMessageError(`replyTo: '${String(address.tracker)}' is not the name of a tracker`);
  }
  return address;
}

function traceOf({ requestId, traceparent }: CommonOptions): Trace | undefined {
  if (requestId !== undefined) {
    const problem = unstorable(requestId, REQUEST_ID_BYTES);
    if (problem !== undefined) throw new InvalidMessageError(`requestId ${problem}`);
  }
  if (traceparent !== undefined && !TRACEPARENT.test(traceparent)) {
    throw new InvalidMessageError(`traceparent '${traceparent}' is not one of W3C: 00-<32 hex>-<16 hex>-<2 hex>`);
  }
  if (requestId === undefined && traceparent === undefined) return undefined;
  return { ...(requestId !== undefined && { requestId }), ...(traceparent !== undefined && { traceparent }) };
}

function timeoutOf(given: Duration | undefined, most: number): number {
  if (given === undefined) return DEFAULT_TIMEOUT_MS;
  const value = typeof given === 'number' ? given : parseDuration(given);
  if (value === undefined || !(value >= 1 && value <= most)) {
    throw new InvalidMessageError(`timeout: '${given}' is not a duration from 1ms to ${formatDuration(most)}`);
  }
  return value;
}
