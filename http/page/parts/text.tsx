/** Text out of data, and the small marks beside it. Names are isolated (`bdi`), cut, and never markup. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ago, shown } from '../lib/format';
import { useNow } from '../lib/use';

/** A name or any other text of somebody's data. The whole of it is in the title. */
export function Data({ text, most = 80, mono }: { text: string; most?: number; mono?: boolean }) {
  const short = shown(text, most);
  return (
    <bdi class={mono ? 'data mono' : 'data'} title={short === text ? undefined : shown(text, 2_000)}>
      {short}
    </bdi>
  );
}

export type Tone = 'good' | 'bad' | 'warn' | 'quiet' | 'plain';

type Sign = 'dot' | 'ring' | 'bars' | 'square' | 'cross' | 'ask' | 'triangle' | 'diamond' | 'check';

/** Drawn, since a font may have no such sign, or make a picture of it. */
const PATHS: Record<Sign, string> = {
  dot: 'M6 2.5a3.5 3.5 0 1 1 0 7a3.5 3.5 0 1 1 0-7z',
  ring: 'M6 2a4 4 0 1 1 0 8a4 4 0 1 1 0-8zM6 3.6a2.4 2.4 0 1 0 0 4.8a2.4 2.4 0 1 0 0-4.8z',
  bars: 'M2.8 2.2h2.2v7.6h-2.2zM7 2.2h2.2v7.6h-2.2z',
  square: 'M2.5 2.5h7v7h-7z',
  cross: 'M2.2 3.6l1.4-1.4 2.4 2.4 2.4-2.4 1.4 1.4-2.4 2.4 2.4 2.4-1.4 1.4-2.4-2.4-2.4 2.4-1.4-1.4 2.4-2.4z',
  ask: 'M3 4.2c0-3.4 6-3.4 6 0 0 2-2.2 1.9-2.2 3.3h-1.6c0-2.3 2.2-2.2 2.2-3.3 0-1.3-2.8-1.3-2.8 0zM5.1 8.4h1.8v1.7h-1.8z',
  triangle: 'M6 1.4l5.2 9.2h-10.4z',
  diamond: 'M6 1.2l4.8 4.8-4.8 4.8-4.8-4.8z',
  check: 'M1.8 6.4l1.3-1.3 1.9 1.9 4-4.2 1.4 1.2-5.4 5.6z',
};

const SIGNS: Record<string, { sign: Sign; tone: Tone }> = {
  running: { sign: 'dot', tone: 'good' },
  alive: { sign: 'dot', tone: 'good' },
  open: { sign: 'dot', tone: 'good' },
  kept: { sign: 'dot', tone: 'good' },
  done: { sign: 'check', tone: 'good' },
  unchanged: { sign: 'ring', tone: 'quiet' },
  idle: { sign: 'ring', tone: 'quiet' },
  paused: { sign: 'bars', tone: 'warn' },
  drained: { sign: 'bars', tone: 'warn' },
  held: { sign: 'bars', tone: 'warn' },
  stopped: { sign: 'square', tone: 'quiet' },
  ended: { sign: 'square', tone: 'quiet' },
  closed: { sign: 'cross', tone: 'bad' },
  refused: { sign: 'cross', tone: 'warn' },
  unknown: { sign: 'ask', tone: 'warn' },
  problem: { sign: 'triangle', tone: 'bad' },
  notice: { sign: 'diamond', tone: 'warn' },
  failed: { sign: 'triangle', tone: 'bad' },
  gone: { sign: 'triangle', tone: 'bad' },
  quarantined: { sign: 'triangle', tone: 'bad' },
};

/** A state by its sign and its word; the colour only repeats them. */
export function State({ is, word, tone }: { is: string; word?: string; tone?: Tone }) {
  const known = SIGNS[is] ?? { sign: 'ring' as const, tone: 'plain' as const };
  return (
    <span class={`state ${tone ?? known.tone}`}>
      <svg class="sign" viewBox="0 0 12 12" width="11" height="11" aria-hidden="true">
        <path d={PATHS[known.sign]} fill-rule="evenodd" />
      </svg>
      {word ?? is}
    </span>
  );
}

/** How long ago, kept up to date; the time itself is in the title. */
export function Ago({ at }: { at: string | null | undefined }) {
  const now = useNow();
  if (!at) return <span class="quiet">—</span>;
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {ago(at, now)}
    </time>
  );
}

/** Puts a text into the clipboard, and says so. */
function Copy({ text, label = 'copy' }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await writeClipboard(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1_500);
  };
  return (
    <button type="button" class="link copy" aria-label={`${label}: ${text}`} onClick={() => void copy()}>
      <span aria-live="polite">{copied ? 'copied' : label}</span>
    </button>
  );
}

/** `navigator.clipboard` is for pages by https or from the own machine only; the old way works everywhere. */
async function writeClipboard(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = document.createElement('textarea');
    field.value = text;
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
}

/** A line of the command line, to be copied. */
export function CommandLine({ text }: { text: string }) {
  return (
    <span class="command">
      <code>{shown(text, 1_000)}</code> <Copy text={text} />
    </span>
  );
}

/** A place where nothing is yet: says what it would show, and what to do next. */
export function Empty({ children, command }: { children: ComponentChildren; command?: string }) {
  return (
    <div class="empty">
      <p>{children}</p>
      {command && <CommandLine text={command} />}
    </div>
  );
}

/** Why something could not be read; what stands beside it may be older. */
export function Trouble({ words, again }: { words: string; again?: () => void }) {
  return (
    <p class="trouble" role="alert">
      <State is="problem" word="Not read: " />
      <Data text={words} most={600} />{' '}
      {again && (
        <button type="button" class="link" onClick={again}>
          try again
        </button>
      )}
    </p>
  );
}
