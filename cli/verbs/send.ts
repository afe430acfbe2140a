/**
 * `longwatch send` and `request`: messages for one member of a tracker, as JSON from the command line, a file or a
 * pipe. Next: `MemberHandle` of the library.
 */
import type { Command } from 'commander';
import { entryInput } from '../entry-input';
import { UsageError } from '../errors';
import { givenTracker, withConfigFlag, type ConfigFlag } from '../given-tracker';
import { plural, print, printJson, remark } from '../output';
import { verb, wait, withLongwatch, type CommonFlags } from '../verb';

interface CommonOptions extends CommonFlags, ConfigFlag {
  file?: string;
  requestId?: string;
  traceparent?: string;
  timeout: number;
}

interface SendFlags extends CommonOptions {
  replyTo?: string;
  replyTracker?: string;
}

export function addSend(program: Command): void {
  common(
    program,
    'send <tracker> <member> [message...]',
    'give messages to a member: JSON, one an argument or a line',
    [
      'longwatch send rooms lobby \'{"say": "hello"}\'',
      'longwatch send rooms lobby --file messages.jsonl',
      'longwatch send rooms lobby \'{"who": true}\' --reply-to ana --reply-tracker users',
    ],
  )
    .option('--reply-to <member>', "the handler's reply goes there, as a message")
    .option('--reply-tracker <tracker>', 'the tracker of that member, where it is another one')
    .option('--timeout <seconds>', 'how long to wait for room in the mailbox', wait, 5)
    .action(send);
}

export function addRequest(program: Command): void {
  common(program, 'request <tracker> <member> [message]', 'give a message to a member, and wait for its reply', [
    'longwatch request rooms lobby \'{"who": true}\'',
    'echo \'{"who": true}\' | npx longwatch request rooms lobby --file - --json',
  ])
    .option('--timeout <seconds>', 'how long to wait for the reply', wait, 5)
    .action(request);
}

function common(program: Command, usage: string, text: string, examples: string[]): Command {
  const command = verb(program, usage, text, examples)
    .option('--file <file>', 'one message a line; - is standard input')
    .option('--request-id <id>', "the caller's own id, for the handler's logs")
    .option('--traceparent <value>', 'W3C trace context, for the same');
  return withConfigFlag(command);
}

async function send(tracker: string, id: string, given: string[], flags: SendFlags): Promise<void> {
  if (flags.replyTracker !== undefined && flags.replyTo === undefined) {
    throw new UsageError('--reply-tracker says whose member --reply-to is: give both');
  }
  const { entries, blank } = await entryInput(given, flags.file, 'message');
  const { replyTo, replyTracker, requestId, traceparent } = flags;
  const to = replyTo !== undefined && replyTracker !== undefined ? { tracker: replyTracker, id: replyTo } : replyTo;
  const of = await givenTracker(tracker, flags);
  let accepted = 0;
  await withLongwatch(flags, async (longwatch) => {
    const member = of(longwatch).member(id);
    const options = { replyTo: to, requestId, traceparent, timeout: flags.timeout * 1_000 };
    try {
      // One after the other: of those behind one that is not accepted, none is sent.
      for (const message of entries) {
        await member.send(message, options);
        accepted++;
      }
    } catch (error) {
      if (accepted > 0) remark(`${plural(accepted, 'message')} accepted before that`);
      throw error;
    }
  });
  if (flags.json) return printJson({ tracker, member: id, accepted, blankLines: blank });
  await print(`${plural(accepted, 'message')} accepted for '${id}' of '${tracker}'`);
  if (blank > 0) remark(`${plural(blank, 'blank line')} skipped`);
}

async function request(tracker: string, id: string, given: string | undefined, flags: CommonOptions): Promise<void> {
  const { entries } = await entryInput(given === undefined ? [] : [given], flags.file, 'message');
  const [message, ...more] = entries;
  if (message === undefined || more.length > 0) {
    throw new UsageError(`a request is one message, and there are ${entries.length}`);
  }
  const { requestId, traceparent } = flags;
  const of = await givenTracker(tracker, flags);
  const reply = await withLongwatch(flags, (longwatch) =>
    of(longwatch)
      .member(id)
      .request(message, { requestId, traceparent, timeout: flags.timeout * 1_000 }),
  );
  await (flags.json ? printJson({ tracker, member: id, reply }) : print(JSON.stringify(reply, null, 2)));
}
