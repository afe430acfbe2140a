/** Whether a node asks for shifts: by the facts, and who is told when that changes. */
import { Openings, opensOf, type OpeningFacts } from '../../activities/tracker/shift/openings';

const ALL: OpeningFacts = { able: true, roomy: true, mayAsk: true };

test.each<[Partial<OpeningFacts>, { shared: boolean; own: boolean }]>([
  [{}, { shared: true, own: true }],
  [{ able: false }, { shared: false, own: false }],
  // Drained, say: whatever was sent here just before is handed on.
  [{ roomy: false }, { shared: false, own: true }],
  [{ mayAsk: false }, { shared: false, own: true }],
])('%j: %j', (facts, opens) => {
  expect(opensOf({ ...ALL, ...facts })).toEqual(opens);
});

test('who listens is told once for each change, and not any more when it has ended that', () => {
  let facts = { ...ALL, able: false };
  const openings = new Openings(() => facts);
  const changed = jest.fn();
  const end = openings.listen(changed);
  openings.look();
  expect(changed).not.toHaveBeenCalled();
  facts = ALL;
  openings.look();
  openings.look();
  expect(changed).toHaveBeenCalledTimes(1);
  expect(openings.current).toEqual({ shared: true, own: true });
  end();
  facts = { ...ALL, able: false };
  expect(openings.current).toEqual({ shared: false, own: false });
  expect(changed).toHaveBeenCalledTimes(1);
});
