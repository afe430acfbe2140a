/**
 * Lists sentences that a reader whose first language is not English has to read twice: in comments
 * and pages, those that begin with a clause (What, Of, Where, Those, Which, Who), 'is no' in place of 'is not', and
 * lines over 120 columns; in messages, 'is no'. `npx tsx scripts/prose.ts FILES…` looks at these alone, `npm run check`
 * at all.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';

const COLUMNS = 120;
const BEGINS = /^(What|Of|Where|Those|Which|Whose|Who|Whoever|Whom)\b/;
const IS_NO = /(?<!\b[Tt]here )\b(?:is|are|was|were) no (?!longer\b|more than\b|less than\b|other than\b|later than\b)/;

interface Line {
  /** From 1 on. */
  number: number;
  text: string;
}

const root = path.join(__dirname, '..');
const given = process.argv.slice(2);
const all = (): string[] =>
  execFileSync('git', ['ls-files', '*.ts', '*.tsx', '*.md'], { cwd: root, encoding: 'utf8' }).trim().split('\n');
const files = given.length > 0 ? given : all();

const found: string[] = [];
for (const file of files) {
  if (file === 'CHANGELOG.md') continue;
  const text = readFileSync(path.join(root, file), 'utf8');
  for (const lines of file.endsWith('.md') ? paragraphs(text) : comments(text)) look(file, lines);
  if (file.endsWith('.ts') && !file.startsWith('test/')) messages(file, text);
}
if (found.length > 0) {
  process.stdout.write(`${found.join('\n')}\n${found.length} sentences to mend\n`);
  process.exitCode = 1;
}

function look(file: string, lines: Line[]): void {
  for (const { number, text } of lines) {
    if (text.length > COLUMNS) found.push(`${file}:${number}: ${text.length} columns`);
  }
  for (const { number, text } of sentences(lines)) {
    if (BEGINS.test(text) && !text.includes('?')) found.push(`${file}:${number}: begins with a clause: ${short(text)}`);
    if (IS_NO.test(text)) found.push(`${file}:${number}: 'is no': ${short(text)}`);
  }
}

function short(text: string): string {
  return text.length > 90 ? `${text.slice(0, 90)}…` : text;
}

/** The sentences of some lines that belong together, each with the line on which it begins. */
function sentences(lines: Line[]): Line[] {
  const all: Line[] = [];
  let open: Line | undefined;
  for (const { number, text } of lines) {
    const bare = text
      .replace(/^\s*(?:\/\*\*?|\*\/|\*|\/\/)?\s?/, '')
      .replace(/\*\/\s*$/, '')
      .trim();
    if (bare === '' || /^(?:[-*]|\d+\.|@\w+|```|\||#)/.test(bare)) open = undefined;
    for (const part of bare.replace(/^(?:[-*]|\d+\.)\s+/, '').split(/(?<=[.!?:])\s+(?=[A-Z])/)) {
      if (part === '') continue;
      if (open) open.text += ` ${part}`;
      else all.push((open = { number, text: part }));
      if (/[.!?:]$/.test(part)) open = undefined;
    }
  }
  return all;
}

/** Each comment of a module; `//` lines that follow each other are one. */
function comments(text: string): Line[][] {
  const source = ts.createSourceFile('', text, ts.ScriptTarget.Latest, true);
  const ranges = new Map<number, ts.CommentRange>();
  const visit = (node: ts.Node): void => {
    for (const range of ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []) ranges.set(range.pos, range);
    ts.forEachChild(node, visit);
  };
  visit(source);
  visit(source.endOfFileToken);
  const groups: Line[][] = [];
  let last = -2;
  for (const { pos, end, kind } of [...ranges.values()].sort((a, b) => a.pos - b.pos)) {
    const first = source.getLineAndCharacterOfPosition(pos).line;
    const lines = text
      .slice(text.lastIndexOf('\n', pos) + 1, end)
      .split('\n')
      .map((line, index) => ({ number: first + index + 1, text: line }));
    if (/eslint-|@ts-|── /.test(lines[0]!.text)) continue;
    if (kind === ts.SyntaxKind.SingleLineCommentTrivia && first === last + 1) groups.at(-1)!.push(...lines);
    else groups.push(lines);
    last = kind === ts.SyntaxKind.SingleLineCommentTrivia ? first : -2;
  }
  return groups;
}

/** The lines of a page, without its code, tables and headings. */
function paragraphs(text: string): Line[][] {
  const groups: Line[][] = [[]];
  let code = false;
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*```/.test(line)) code = !code;
    if (code || /^\s*(?:```|\||#|!?\[|<)/.test(line) || line.trim() === '') groups.push([]);
    else groups.at(-1)!.push({ number: index + 1, text: line });
  }
  return groups;
}

/** Looks at the strings that people are told. */
function messages(file: string, text: string): void {
  const source = ts.createSourceFile('', text, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) {
      if (IS_NO.test(node.text)) {
        const { line } = source.getLineAndCharacterOfPosition(node.getStart());
        found.push(`${file}:${line + 1}: 'is no' in a message: ${short(node.text.trim())}`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}
