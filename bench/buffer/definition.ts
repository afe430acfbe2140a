/** The buffer of the benchmark, for the worker that runs it and the scenario that starts it. */
import { defineBuffer, resolveConfig } from '../../exports';

let handled: (count: number) => void = () => undefined;

export function onHandled(then: (count: number) => void): void {
  handled = then;
}

const buffer = defineBuffer({
  name: 'bench',
  run: (entries: { n: number; pad: string }[]) => handled(entries.length),
});

export const benched = resolveConfig({ buffers: [buffer] });
