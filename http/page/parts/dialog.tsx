/**
 * The dialog of an action: what it will do in figures, before it is done; the reason for the audit; the same as a
 * command; then its outcome, with a way back where there is one. Opened by `openAction` from anywhere; drawn once, by
 * `shell.tsx`.
 */
import type { RefObject } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Action, Preview, Values } from '../actions/action';
import { acted } from '../lib/acted';
import { mayBeDone, randomKey, wordsOf } from '../lib/api';
import { shown } from '../lib/format';
import { may, useMe } from '../lib/me';
import type { State as Whole } from '../lib/state';
import { Fields } from './fields';
import { CommandLine, Data, State } from './text';

interface Outcome {
  title: string;
  words: string;
  failed: boolean;
  undo?: Action;
}

let open: (action: Action | undefined) => void = () => undefined;
const openAction = (action: Action): void => open(action);

/** A button that opens an action's dialog; without the right to it, it says so. */
export function ActButton({ action, quiet }: { action: Action; quiet?: boolean }) {
  const me = useMe();
  const allowed = may(me, action.role);
  return (
    <button
      type="button"
      class={quiet ? 'link' : undefined}
      disabled={!allowed}
      title={allowed ? undefined : `it needs the role '${action.role}'; yours is '${me?.role ?? 'unknown'}'`}
      aria-label={shown(action.title, 300)}
      onClick={() => openAction(action)}
    >
      {action.button}
    </button>
  );
}

export function Dialogs({ state }: { state: Whole | undefined }) {
  const [action, setAction] = useState<Action>();
  const [outcome, setOutcome] = useState<Outcome>();
  open = (next) => {
    setOutcome(undefined);
    setAction(next);
  };
  // Another dialog may be open by the time at which this one is told of.
  const close = (closed: Action): void => setAction((current) => (current === closed ? undefined : current));
  return (
    <>
      {action && state && (
        <ActionDialog
          key={action.title}
          action={action}
          state={state}
          onClose={() => close(action)}
          onDone={(done) => {
            close(action);
            setOutcome(done);
            acted();
          }}
        />
      )}
      <div class="outcomes" role="status">
        {outcome && <OutcomeLine outcome={outcome} onClose={() => setOutcome(undefined)} />}
      </div>
    </>
  );
}

function OutcomeLine({ outcome: { title, words, failed, undo }, onClose }: { outcome: Outcome; onClose: () => void }) {
  return (
    <p class="outcome">
      <State is={failed ? 'failed' : 'done'} word={title} />
      <Data text={`: ${words}`} most={300} />
      {undo && (
        <button type="button" class="link" onClick={() => openAction(undo)}>
          undo
        </button>
      )}
      <button type="button" class="link" onClick={onClose} aria-label="close this message">
        close
      </button>
    </p>
  );
}

interface Props {
  action: Action;
  state: Whole;
  onClose: () => void;
  onDone: (outcome: Outcome) => void;
}

/** A failure in words: nobody may take 'not known' for 'not done', and do it twice. */
const notDone = (error: unknown): string =>
  `${mayBeDone(error) ? 'It is not known whether it was done (the log says it)' : 'It was not done'}: ${wordsOf(error)}`;

/** Carries the action out, with one key for all tries of the same: an answer that was lost is asked for again. */
function useAct({ action, onDone }: Props, box: RefObject<HTMLDialogElement | null>) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string>();
  const tries = useRef<{ of: string; key: string } | undefined>(undefined);
  const isBusy = useRef(false);
  const isThere = useRef(true);
  useEffect(() => () => void (isThere.current = false), []);
  const act = async (values: Values, why: string | undefined, match: string | undefined, undo: Action | undefined) => {
    if (isBusy.current) return;
    isBusy.current = true;
    setBusy(true);
    setFailure(undefined);
    const of = JSON.stringify([values, why]);
    if (tries.current?.of !== of) tries.current = { of, key: randomKey() };
    try {
      const ended = await action.act(values, why, { key: tries.current.key, match });
      const { words, isOwn } = typeof ended === 'string' ? { words: ended, isOwn: true } : ended;
      // It gives the focus back to the button that had it.
      box.current?.close();
      onDone({ title: action.title, words, failed: false, undo: isOwn ? undo : undefined });
    } catch (error) {
      if (!mayBeDone(error)) tries.current = undefined;
      if (isThere.current) setFailure(notDone(error));
      else onDone({ title: action.title, words: notDone(error), failed: true });
    }
    isBusy.current = false;
    setBusy(false);
  };
  return { busy, failure, act };
}

function ActionDialog(props: Props) {
  const { action, state, onClose } = props;
  const box = useRef<HTMLDialogElement>(null);
  const [values, setValues] = useState<Values>(() =>
    Object.fromEntries((action.fields ?? []).map((field) => [field.name, field.value])),
  );
  const [why, setWhy] = useState('');
  const { busy, failure, act } = useAct(props, box);
  const preview = usePreview(action, state, values, busy);
  useEffect(() => box.current?.showModal(), []);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!preview || preview.refused !== undefined) return;
    // The way back is that of the state before.
    void act(values, why.trim() || undefined, preview.match, preview.undo ?? action.undo?.(state, values));
  };
  return (
    <dialog ref={box} class="action" aria-labelledby="action-title" onClose={onClose}>
      <form onSubmit={submit}>
        <h2 id="action-title">
          <Data text={action.title} most={160} />
        </h2>
        <Fields fields={action.fields ?? []} values={values} onChange={setValues} disabled={busy} />
        <Consequence preview={preview} />
        {!action.isData && <Why value={why} set={setWhy} disabled={busy} />}
        <p class="same">
          <span class="quiet">The same as a command:</span> <CommandLine text={action.command(values, why.trim())} />
        </p>
        <Failure words={failure} />
        <Buttons
          action={action}
          busy={busy}
          ready={preview !== undefined && preview.refused === undefined}
          cancel={() => box.current?.close()}
        />
      </form>
    </dialog>
  );
}

function Why({ value, set, disabled }: { value: string; set: (value: string) => void; disabled: boolean }) {
  return (
    <label class="field">
      <span>why</span>
      <input
        type="text"
        value={value}
        maxLength={1_000}
        disabled={disabled}
        onInput={(event) => set(event.currentTarget.value)}
      />
      <small>for the log; it may be left out</small>
    </label>
  );
}

function Failure({ words }: { words: string | undefined }) {
  if (words === undefined) return null;
  return (
    <p class="trouble" role="alert">
      <State is="failed" word="" />
      <Data text={words} most={600} />
    </p>
  );
}

function Buttons({
  action,
  busy,
  ready,
  cancel,
}: {
  action: Action;
  busy: boolean;
  ready: boolean;
  cancel: () => void;
}) {
  return (
    <footer>
      <button type="button" onClick={cancel}>
        {busy ? 'Close; it goes on' : 'Cancel'}
      </button>
      <button type="submit" class={action.danger ? 'danger' : 'main'} disabled={busy || !ready}>
        {busy ? 'Working…' : action.button}
      </button>
    </footer>
  );
}

/** A dry run is asked again after this, while its dialog is open: what others do changes it. Milliseconds. */
const ASK_MS = 3_000;
/** The fields rest. */
const REST_MS = 150;

/** Said anew with each change of the state or the fields; a dry run is one of the fields as they are. */
function usePreview(action: Action, state: Whole, values: Values, busy: boolean): Preview | undefined {
  const key = JSON.stringify(values);
  const [asked, setAsked] = useState<{ key: string; preview: Preview }>();
  useEffect(() => {
    const { asks } = action;
    if (!asks || busy) return undefined;
    const ending = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const ask = async (): Promise<void> => {
      const preview = await asks(values, ending.signal).catch((error: unknown) => ({
        says: [],
        refused: wordsOf(error),
      }));
      if (ending.signal.aborted) return;
      setAsked({ key, preview });
      timer = setTimeout(() => void ask(), ASK_MS);
    };
    timer = setTimeout(() => void ask(), REST_MS);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [key, busy]);
  return action.says ? action.says(state, values) : asked?.key === key ? asked.preview : undefined;
}

function Consequence({ preview }: { preview: Preview | undefined }) {
  return (
    <div class="consequence" aria-live="polite">
      {preview === undefined && <p class="quiet">Asking what it would do…</p>}
      {preview?.says.map((text) => (
        <p key={text}>
          <Data text={text} most={400} />
        </p>
      ))}
      {preview?.refused !== undefined && (
        <p>
          <State is="unknown" word="Nothing is done: " />
          <Data text={preview.refused} most={400} />
        </p>
      )}
    </div>
  );
}
