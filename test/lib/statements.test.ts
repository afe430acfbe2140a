/**
 * A connection prepares a statement once, by its name: a second text of the same name fails on every connection that
 * has had the first.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.join(__dirname, '../..');
const STATEMENT = /\bname:\s*'([\w-]+)',\s*text:\s*(`(?:[^`\\]|\\.)*`|'(?:[^'\\]|\\.)*')/g;

test('a name of a statement has one text', () => {
  const texts = new Map<string, Set<string>>();
  for (const floor of ['activities', 'client', 'workers', 'http', 'cli'])
    for (const file of readdirSync(path.join(ROOT, floor), { recursive: true, encoding: 'utf8' })) {
      if (!/\.tsx?$/.test(file)) continue;
      for (const [, name, text] of readFileSync(path.join(ROOT, floor, file), 'utf8').matchAll(STATEMENT))
        texts.set(name!, (texts.get(name!) ?? new Set()).add(text!));
    }
  expect(texts.size).toBeGreaterThan(150);
  expect([...texts].filter(([, of]) => of.size > 1).map(([name]) => name)).toEqual([]);
});
