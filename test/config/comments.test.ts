/**
 * Every field that a user writes has a comment for his editor, and if the option tables have the option, the comment
 * ends with the default and the bounds that the table has.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { formatValue } from '../../config/values';
import { BUFFER_OPTIONS } from '../../workflows/buffer/options';
import { DURABLE_OPTIONS } from '../../workflows/durable/contract';
import { CHUNK_OPTIONS, JOB_OPTIONS, SWEEP_OPTIONS } from '../../workflows/job/options';
import type { OptionSpec } from '../../workflows/lib/options';
import { GATE_OPTIONS, OPERATION_OPTIONS, RECEIVE_OPTIONS, TRACKER_OPTIONS } from '../../workflows/tracker/options';
import { LIMIT_OPTIONS, UPSTREAM_OPTIONS } from '../../workflows/upstream/options';

/** Every type of `config/define/` that a user fills in, and the table of its options. */
const TYPES: readonly [type: string, file: string, table: readonly OptionSpec[]][] = [
  ['TrackerDefinition', 'tracker', TRACKER_OPTIONS],
  ['GateDefinition', 'tracker', GATE_OPTIONS.map((spec) => ({ ...spec, name: spec.name.slice('gate.'.length) }))],
  ['OperationDefinition', 'tracker', OPERATION_OPTIONS],
  ['ReceiveOptions', 'member', inside(RECEIVE_OPTIONS, 'receive')],
  ['ReceiveDefinition', 'member', []],
  ['StateDefinition', 'member', []],
  ['LifeDefinition', 'member', []],
  ['BufferDefinition', 'buffer', BUFFER_OPTIONS],
  ['RetryPolicy', 'buffer', inside(BUFFER_OPTIONS, 'retry')],
  ['JobDefinition', 'job', JOB_OPTIONS],
  ['ChunkedDefinition', 'job', CHUNK_OPTIONS],
  ['RegenDefinition', 'job', []],
  ['RuleDefinition', 'job', []],
  ['DecayDefinition', 'job', []],
  ['SweepDefinition', 'job', SWEEP_OPTIONS],
  ['ActivityDefinition', 'activity', DURABLE_OPTIONS],
  ['CompensationDefinition', 'activity', []],
  ['LeaseDefinition', 'activity', inside(DURABLE_OPTIONS, 'lease')],
  // Sweeps, activities and compensations have it, each with defaults of its own.
  ['RetryDefinition', 'activity', []],
  ['LimitsDefinition', 'upstream', UPSTREAM_OPTIONS],
  ['LimitDefinition', 'upstream', LIMIT_OPTIONS],
  ['ConfigDefinition', 'config', []],
  ['Defaults', 'config', []],
];

test.each(TYPES)(
  '%s: every field has a comment, with the default and the bounds of its option',
  (type, file, table) => {
    const fields = fieldsOf(type, file);
    const bare = [...fields].filter(([, comment]) => comment === undefined).map(([name]) => name);
    expect(bare).toEqual([]);
    for (const spec of table) {
      // Options of a group that is a type of its own are looked at there.
      if (!fields.has(spec.name) && fields.has(spec.name.split('.')[0]!)) continue;
      expect([spec.name, fields.get(spec.name)]).toEqual([spec.name, expect.stringMatching(endsWith(factsOf(spec)))]);
    }
  },
);

function inside(table: readonly OptionSpec[], group: string): OptionSpec[] {
  return table.flatMap((spec) =>
    spec.name.startsWith(`${group}.`) ? [{ ...spec, name: spec.name.slice(group.length + 1) }] : [],
  );
}

/** The end of this option's comment: its default and its bounds. */
function factsOf(spec: OptionSpec): string {
  const fallback = (
    spec.derived ?? (spec.default === undefined ? 'required' : formatValue(spec, spec.default))
  ).replaceAll('**', '');
  const facts = fallback.startsWith('required') ? `R${fallback.slice(1)}` : `@default ${fallback}`;
  const bounds =
    spec.min === undefined ? '' : `, from ${formatValue(spec, spec.min)} to ${formatValue(spec, spec.max)}`;
  return `${facts}${bounds}`;
}

function endsWith(text: string): RegExp {
  return new RegExp(`(^| )${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
}

/** The fields of an interface, with their comments in one line; those of a group in place are `group.field`. */
function fieldsOf(type: string, file: string): Map<string, string | undefined> {
  const name = path.join(__dirname, '../../config/define', `${file}.ts`);
  const source = ts.createSourceFile(name, readFileSync(name, 'utf8'), ts.ScriptTarget.Latest, true);
  const found = source.statements.find(
    (statement): statement is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(statement) && statement.name.text === type,
  );
  const fields = new Map<string, string | undefined>();
  const add = (members: ts.NodeArray<ts.TypeElement>, prefix: string): void => {
    for (const member of members) {
      if (!ts.isPropertySignature(member)) continue;
      const field = prefix + member.name.getText(source);
      fields.set(field, commentIn(member, source));
      if (member.type && ts.isTypeLiteralNode(member.type)) add(member.type.members, `${field}.`);
    }
  };
  add(found!.members, '');
  return fields;
}

function commentIn(member: ts.Node, source: ts.SourceFile): string | undefined {
  const [range] = ts.getLeadingCommentRanges(source.text, member.getFullStart()) ?? [];
  if (!range) return undefined;
  const lines = source.text
    .slice(range.pos, range.end)
    .replace(/^\/\*\*|\*\/$/g, '')
    .split('\n');
  return lines
    .map((line) => line.replace(/^\s*\*?\s?/, '').trim())
    .filter((line) => line !== '')
    .join(' ');
}
