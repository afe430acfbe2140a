/** `docs/members.md`: its config runs on a worker, its program against it, and its commands are commands. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import ts from 'typescript';
import { MEMBER } from '../../activities/tracker/member/constants';
import { LONGEST_REQUEST_MS } from '../../client/member/letter';
import { program } from '../../cli/main';
import { resolveConfig, type ConfigDefinition, type Longwatch } from '../../exports';
import * as errors from '../../client/member/errors';
import { Stack } from '../support/stack';

const page = readFileSync(path.join(__dirname, '../../docs/members.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(([, code]) => code!);

/** Runs code of the page as a user's module would. */
function run<T>(code: string, names: readonly string[], values: readonly unknown[]): T {
  const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 };
  const { outputText } = ts.transpileModule(code, { compilerOptions });
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the page's own code
  return (new Function(...names, outputText) as (...given: readonly unknown[]) => T)(...values);
}

let stack: Stack;
afterAll(() => stack?.close());

test('the config of the page works, and the program gets what the page says', async () => {
  const exported: { default?: ConfigDefinition } = {};
  run(blocks('ts')[0]!, ['require', 'exports'], [require, exported]);
  stack = await Stack.start();
  await stack.worker(exported.default!);
  const longwatch: Longwatch = await stack.connect();
  for (const { name, options } of resolveConfig(exported.default!).trackers)
    await longwatch.tracker(name).start(options);
  const code = `return (async () => { ${blocks('ts client')[0]!}\nreturn lines; })();`;
  expect(await run<Promise<string[]>>(code, ['longwatch'], [longwatch])).toEqual(['hello']);
  const ana = longwatch.tracker('users').member('ana');
  expect(await ana.request({ said: 'once more' })).toBe(2);
});

const commands = blocks('sh').flatMap((code) => [...code.matchAll(/^npx longwatch (.*?)(?:\s+#.*)?$/gm)]);

test.each(commands.map(([, line]) => line!))('longwatch %s is a command', async (line) => {
  const made = program();
  let ran = 0;
  const still = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: () => undefined });
    if (command.commands.length === 0) command.action(() => void ran++);
    command.commands.forEach(still);
  };
  still(made);
  await made.parseAsync(line.replaceAll("'", '').split(/\s+/), { from: 'user' });
  expect(ran).toBe(1);
});

test('the bounds and times of the page are those of the code, and every error of a send stands there', () => {
  const text = page.replace(/\s+/g, ' ');
  const megabytes = (bytes: number) => `${bytes / 1024 / 1024} MB`;
  expect([MEMBER.messageBytes, MEMBER.replyBytes].map(megabytes)).toEqual(['1 MB', '1 MB']);
  expect(text).toContain('a message, a reply | 1 MB of JSON');
  expect(text).toContain(`a state | ${megabytes(MEMBER.stateBytes)} of JSON`);
  expect(text).toContain(
    `${MEMBER.memberMail.entries.toLocaleString('en-US')} messages, ${megabytes(MEMBER.memberMail.bytes)}`,
  );
  expect(text).toContain(`${MEMBER.turnRows.toLocaleString('en-US')}, and ${megabytes(MEMBER.turnBytes)}`);
  expect(text).toContain(`${MEMBER.timers}, each for ${MEMBER.timerMs / 86_400_000} days`);
  expect(text).toContain(`${MEMBER.senders}, each for a day`);
  expect([MEMBER.attempts, MEMBER.repliesMs, LONGEST_REQUEST_MS]).toEqual([8, 11 * 60_000, 5 * 60_000]);
  for (const name of Object.keys(errors)) expect(page).toContain(`\`${name}\``);
});
