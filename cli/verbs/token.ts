/**
 * `longwatch token new`: a token for the dashboard and its API, and the line for the setting, which has only its hash.
 * Nothing is stored: the line goes to LONGWATCH_TOKENS of the dashboard, the token to whom it is for.
 */
import { Option, type Command } from 'commander';
import { UsageError } from '../errors';
import { lazy } from '../lazy';
import { print, printJson } from '../output';
import type { Role } from '../../http/who';

interface Flags {
  role: Role;
  name: string;
  json?: boolean;
}

export function addToken(program: Command): void {
  const token = program.command('token').description("tokens for the dashboard's page and HTTP API");
  token
    .command('new')
    .description('makes a token, and the line with its hash for the setting of the dashboard')
    .addOption(
      new Option('--role <role>', 'read: sees everything; operate: also commands; admin: also drops')
        .choices(['read', 'operate', 'admin'])
        .makeOptionMandatory(),
    )
    .requiredOption('--name <name>', 'who it is for: the name in `longwatch audit`')
    .option('--json', 'the result as JSON on stdout')
    .addHelpText('after', '\nExamples:\n  npx longwatch token new --role operate --name ana')
    .action(create);
}

async function create({ role, name, json }: Flags): Promise<void> {
  const { token, line } = made(name, role);
  if (json) return printJson({ token, line });
  await print(
    [
      `Token, shown this once:  ${token}`,
      `For LONGWATCH_TOKENS:    ${line}`,
      '',
      'Several lines are divided by blanks. To take a token back, take out its line and start the dashboard again.',
    ].join('\n'),
  );
}

function made(name: string, role: Role): { token: string; line: string } {
  try {
    return lazy.who().newToken(name, role);
  } catch (error) {
    throw error instanceof TypeError ? new UsageError(error.message) : error;
  }
}
