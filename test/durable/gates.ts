/** Gates at which activities of the tests wait until the test opens them: by the id of the booking. */
const gates = new Map<string, { opened: Promise<void>; open: () => void }>();

export function gateOf(id: string): { opened: Promise<void>; open: () => void } {
  let gate = gates.get(id);
  if (gate === undefined) {
    let open!: () => void;
    gate = { opened: new Promise<void>((resolve) => (open = resolve)), open: () => open() };
    gates.set(id, gate);
  }
  return gate;
}
