/**
 * Histories as JSON and back. Not by the SDK's `historyToJSON`: it refuses its own types where npm has installed more
 * than one copy of protobufjs.
 */
import { temporal } from '@temporalio/proto';

type History = temporal.api.history.v1.IHistory;
const { History: type } = temporal.api.history.v1;

export function historyToJson(history: History): unknown {
  return type.toObject(type.fromObject(history), { enums: String, longs: String, bytes: String });
}

export function historyFromJson(json: unknown): History {
  return type.fromObject(json as { [name: string]: unknown });
}
