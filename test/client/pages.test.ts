/** Every command that a page of the documentation or a verb's help shows is one: read as a shell does. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Command, CommanderError } from 'commander';
import { program } from '../../cli/main';

const ROOT = path.join(__dirname, '../..');
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(path.join(ROOT, 'docs')).map((file) => `docs/${file}`),
  ...readdirSync(path.join(ROOT, 'examples')).map((name) => `examples/${name}/README.md`),
].filter((file) => file.endsWith('.md') && existsSync(path.join(ROOT, file)));

/** The lines of its blocks that call the command, behind a pipe or variables too, without what comes after it. */
const CALL = /^(?:\$ )?(?:[^|#\n]*\| )?(?:[A-Z_]+=\S+ )*(?:npx )?longwatch (.*?)(?:\s+#.*)?(?: [|>] .*)?$/gm;

function shown(file: string): { blocks: string[]; mentions: string[] } {
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  const fences = [...text.matchAll(/^```(\w*)\n([^]*?)^```/gm)]
    .filter(([, language]) => language === 'sh' || language === '')
    .map(([, , code]) => code!);
  const prose = text.replace(/^```[^]*?^```/gm, '');
  const mentions = [...prose.matchAll(/`(?:npx )?longwatch ([^`]+)`/g)].map(([, line]) => line!.replace(/\n/g, ' '));
  return {
    blocks: fences.flatMap((code) => [...code.matchAll(CALL)].map(([, line]) => line!)),
    // `drain|resume` names two, and `…` leaves something out.
    mentions: mentions.filter((line) => !/[|…]/.test(line)),
  };
}

const words = (line: string): string[] =>
  [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, plain]) => single ?? double ?? plain!);

/** @returns why it is not a command; undefined: it is */
async function refusal(line: string): Promise<{ code: string; message: string } | undefined> {
  const made = program();
  const still = (command: Command): void => {
    command.exitOverride().configureOutput({ writeErr: () => undefined, writeOut: () => undefined });
    if (command.commands.length === 0) command.action(() => undefined);
    command.commands.forEach(still);
  };
  still(made);
  try {
    await made.parseAsync(words(line), { from: 'user' });
    return undefined;
  } catch (error) {
    const { code, message } = error as CommanderError;
    return { code, message };
  }
}

const verbs = (of: Command): Command[] => (of.commands.length === 0 ? [of] : of.commands.flatMap(verbs));

function helpOf(command: Command): string {
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  return help;
}

function examplesOf(command: Command): string[] {
  const help = helpOf(command);
  const lines = help.slice(help.indexOf('\nExamples:\n')).replaceAll(/^ +/gm, '');
  return [...lines.matchAll(CALL)].map(([, line]) => line!);
}

test.each(
  verbs(program()).map((command): [string, Command] => [`${command.parent!.name()} ${command.name()}`, command]),
)('the examples in the help of %s are commands', async (_name, command) => {
  const lines = examplesOf(command);
  // `npx psql` would fetch a stranger's package of that name.
  const fetched = [...helpOf(command).matchAll(/npx (\S+)/g)].map(([, name]) => name);
  expect(new Set(fetched)).toEqual(new Set(['longwatch']));
  expect(lines).not.toEqual([]);
  for (const line of lines) expect([line, await refusal(line)]).toEqual([line, undefined]);
});

test('pages show commands', () => {
  expect(pages.flatMap((file) => shown(file).blocks).length).toBeGreaterThan(40);
});

test.each(pages)('the commands of %s are commands', async (file) => {
  const { blocks, mentions } = shown(file);
  for (const line of blocks) expect([line, await refusal(line)]).toEqual([line, undefined]);
  // One that is only mentioned need not have all that it takes.
  for (const line of mentions) {
    const code = (await refusal(line))?.code ?? '';
    expect([line, code]).toEqual([line, expect.stringMatching(/^$|missing/i)]);
  }
});
