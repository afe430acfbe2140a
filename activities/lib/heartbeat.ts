/** The heartbeats of a long activity: a shift, a pass, a batch. Each starts them first and stops them last. */
import { Context } from '@temporalio/activity';

/** A beat and a half may be lost before Temporal takes the worker for dead. */
const BEATS = 0.4;
/** For an activity that was scheduled without a heartbeat timeout. */
const DEFAULT_TIMEOUT_MS = 5_000;

/** Beats for the activity that runs now. @returns stops it */
export function startHeartbeat(): () => void {
  const context = Context.current();
  const heart = setInterval(() => context.heartbeat(), (context.info.heartbeatTimeoutMs ?? DEFAULT_TIMEOUT_MS) * BEATS);
  return () => clearInterval(heart);
}
