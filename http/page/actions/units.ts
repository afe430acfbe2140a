/** Pause, resume, stop, start and set: what trackers, buffers and jobs have in common. */
import type { Setting } from '../../../client/settings';
import { at, getTagged, send } from '../lib/api';
import { count, duration, plural, short } from '../lib/format';
import type { BufferSummary, JobSummary, State, TrackerSummary } from '../lib/state';
import { line, type Action, type Preview } from './action';

export type Kind = 'tracker' | 'buffer' | 'job';
type Unit = TrackerSummary | BufferSummary | JobSummary;

const LISTS = { tracker: 'trackers', buffer: 'buffers', job: 'jobs' } as const;

function unitOf(state: State, kind: Kind, name: string): Unit | undefined {
  return (state.status[LISTS[kind]] as readonly Unit[]).find((unit) => unit.name === name);
}

interface Commanded {
  state: string;
  changed?: boolean;
  alreadyRunning?: boolean;
}

type Word = 'pause' | 'resume' | 'stop' | 'start';
/** The state after it, and the state in which there is nothing to do. */
const AFTER: Record<Word, string> = { pause: 'paused', resume: 'running', stop: 'stopped', start: 'running' };
const UNDO: Partial<Record<Word, Word>> = { pause: 'resume', resume: 'pause', stop: 'start', start: 'stop' };

function unitAction(kind: Kind, name: string, verb: Word): Action {
  const button = verb[0]!.toUpperCase() + verb.slice(1);
  return {
    title: `${button} ${name}`,
    button,
    role: 'operate',
    says: (state) => preview(verb, unitOf(state, kind, name), kind),
    command: (_values, why) => line(verb, [name], { why }),
    act: async (_values, why, how) => {
      const path = at(LISTS[kind], name, verb);
      const { state, changed, alreadyRunning } = await send<Commanded>('POST', path, { why }, how);
      const isOwn = changed !== false && alreadyRunning !== true;
      return { words: `${name} is ${isOwn ? '' : 'already '}${state}`, isOwn };
    },
    undo: (state) => {
      const before = unitOf(state, kind, name)?.state;
      const back = UNDO[verb];
      // A resume that took pools out of quarantine, or a start of what ran, has nothing to take back.
      return back && before !== AFTER[verb]
        ? unitAction(kind, name, before === 'paused' && verb === 'stop' ? 'start' : back)
        : undefined;
    },
  };
}

function preview(verb: Word, unit: Unit | undefined, kind: Kind): Preview {
  if (!unit) return { says: [], refused: `there is no ${kind} of this name any more` };
  const quarantined = 'quarantined' in unit ? unit.quarantined : 0;
  if (unit.state === AFTER[verb] && !(verb === 'resume' && quarantined > 0)) {
    return { says: [], refused: `it is ${unit.state} already` };
  }
  if (unit.state === 'stopped' && verb !== 'start') return { says: [], refused: 'it is stopped; start it first' };
  if ('operations' in unit) return { says: trackerSays(verb, unit) };
  if ('accepted' in unit) return { says: bufferSays(verb, unit) };
  return { says: jobSays(verb, unit) };
}

function trackerSays(verb: Word, { members, pools, quarantined, operations }: TrackerSummary): string[] {
  const who = `${plural(members, 'member')} in ${plural(pools, 'pool')}`;
  const perSecond = operations
    .filter(({ enabled }) => enabled)
    .reduce((sum, { everyMs }) => sum + (members * 1_000) / everyMs, 0);
  const runs = `about ${short(perSecond)} runs a second`;
  switch (verb) {
    case 'pause':
      return [
        `${who} are not asked about until it is resumed: ${runs} fewer.`,
        'Ids are still added and removed; values stay, and get older.',
      ];
    case 'resume':
      return [
        `${who} are asked about again: ${runs}.`,
        ...(quarantined > 0 ? [`${plural(quarantined, 'pool')} in quarantine begin again.`] : []),
      ];
    case 'stop':
      return [
        `Every shift of ${who} ends: ${runs} fewer.`,
        'No id is added or removed any more. Members and values stay for the next start.',
      ];
    case 'start':
      return [`${who} are kept again, with the options that it had: ${runs}.`];
  }
}

function bufferSays(verb: Word, { pending, running, shards }: BufferSummary): string[] {
  const waiting = plural(pending, 'entry', 'entries');
  switch (verb) {
    case 'pause':
      return [
        `No batch is begun until it is resumed: ${waiting} wait, and ${count(running)} in batches are finished.`,
        'Entries are still accepted.',
      ];
    case 'resume':
      return [`${waiting} in ${plural(shards.length, 'shard')} go to your code again.`];
    case 'stop':
      return [
        `${count(running)} entries in batches are finished; ${waiting} are kept for the next start.`,
        'Entries that are pushed meanwhile are refused.',
      ];
    case 'start':
      return [`${waiting} go on where they were.`];
  }
}

function jobSays(verb: Word, { open, schedule }: JobSummary): string[] {
  const every = 'everyMs' in schedule ? `every ${duration(schedule.everyMs)}` : `at ${schedule.cron}`;
  const tick = open ? `The tick that is under way (${count(open.rows)} rows so far)` : undefined;
  switch (verb) {
    case 'pause':
      return [
        ...(tick ? [`${tick} waits.`] : []),
        `No tick begins (${every}); those that fall due are not made up for.`,
      ];
    case 'resume':
      return [...(tick ? [`${tick} goes on.`] : []), `Ticks begin again, ${every}.`];
    case 'stop':
      return [...(tick ? [`${tick} is finished after the next start.`] : []), `No tick begins (${every}).`];
    case 'start':
      return [`Ticks begin again, ${every}.`];
  }
}

/** The words that make sense for a state. */
export function unitActions(kind: Kind, unit: Unit): Action[] {
  const words: Record<string, Word[]> = {
    running: ['pause', 'stop'],
    paused: ['resume', 'stop'],
    stopped: ['start'],
  };
  const quarantined = 'quarantined' in unit && unit.quarantined > 0 && unit.state === 'running';
  const verbs = [...(quarantined ? (['resume'] as const) : []), ...(words[unit.state] ?? ['resume'])];
  return verbs.map((verb) => unitAction(kind, unit.name, verb));
}

/** An option that is set while it runs. @param back the value that an undo begins with */
export function setAction(
  list: 'trackers' | 'buffers' | 'jobs' | 'upstreams',
  name: string,
  setting: Pick<Setting, 'path' | 'value'>,
  back?: string,
): Action {
  const full = list === 'upstreams' ? `upstreams.${name}.${setting.path}` : setting.path;
  return {
    title: `Set ${setting.path} of ${name}`,
    button: 'Set',
    role: 'operate',
    fields: [
      {
        name: 'value',
        label: setting.path,
        kind: 'text',
        value: back ?? setting.value,
        hint: 'as in the config: 500ms, 20, true. Empty takes a change by hand back.',
      },
    ],
    asks: async ({ value = '' }, signal) => {
      const { value: now, tag } = await getTagged<{ items: Setting[] }>(at(list, name, 'config'), signal);
      const found = now.items.find(({ path }) => path === setting.path);
      if (!found) return { says: [], refused: 'there is no such option any more' };
      const before = found.configured === undefined ? '' : found.value;
      const undo = value.trim() === before ? undefined : setAction(list, name, found, before);
      return { ...setSays(found, value.trim()), match: tag, undo };
    },
    command: ({ value = '' }, why) =>
      list === 'upstreams'
        ? line('config', [], { set: `${full}=${value.trim()}`, why })
        : line('config', [name], { set: `${full}=${value.trim()}`, why }),
    act: async ({ value = '' }, why, { match }) => {
      const changes = { [setting.path]: value.trim() === '' ? null : value.trim() };
      const path = at(list, name, 'config');
      const { changed } = await send<{ changed: boolean }>('PATCH', path, { changes, why }, { match });
      return { words: changed ? `${setting.path} of ${name} is set` : 'nothing was different', isOwn: changed };
    },
  };
}

function setSays({ value: before, configured }: Setting, value: string): Preview {
  if (value === before) return { says: [], refused: `it is ${before} already` };
  if (value === '') {
    return configured === undefined
      ? { says: [], refused: 'nothing was set by hand' }
      : { says: [`${before} becomes ${configured}, as configured, within a second or two.`] };
  }
  return { says: [`${before} becomes ${value} on all nodes within a second or two, until it is set again.`] };
}
