/** Two migrations of one number would come in the order of their names, which nobody has thought of. */
import { readdirSync } from 'node:fs';
import path from 'node:path';

test('each migration has a number of its own', () => {
  const numbers = readdirSync(path.join(__dirname, '../../db/migrations')).map((file) => file.slice(0, 4));
  expect(numbers.length).toBeGreaterThan(20);
  expect(numbers.filter((number, at) => numbers.indexOf(number) !== at)).toEqual([]);
});
