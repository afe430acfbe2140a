/**
 * The dialog of an action: what it will do in figures, before it is done; the reason for the audit; the same as a
 * command; then its outcome, with a way back where there is one. Opened by `openAction` from anywhere; drawn once, by
 * `shell.tsx`.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Action, Preview, Values } from '../actions/action';
import { wordsOf } from '../lib/api';
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
      aria-label={action.title}
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
  return (
    <>
      {action && state && (
        <ActionDialog
          key={action.title}
          action={action}
          state={state}
          onClose={() => setAction(undefined)}
          onDone={(done) => {
            setAction(undefined);
            setOutcome(done);
          }}
        />
      )}
      <div class="outcomes" role="status">
        {outcome && <OutcomeLine outcome={outcome} onClose={() => setOutcome(undefined)} />}
      </div>
    </>
  );
}

function OutcomeLine({ outcome: { title, words, undo }, onClose }: { outcome: Outcome; onClose: () => void }) {
  return (
    <p class="outcome">
      <State is="done" word={title} />
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

function ActionDialog({ action, state, onClose, onDone }: Props) {
  const box = useRef<HTMLDialogElement>(null);
  const [values, setValues] = useState<Values>(() =>
    Object.fromEntries((action.fields ?? []).map((field) => [field.name, field.value])),
  );
  const [why, setWhy] = useState('');
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string>();
  const preview = usePreview(action, state, values);
  useEffect(() => box.current?.showModal(), []);
  const act = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy || !preview || preview.refused !== undefined) return;
    setBusy(true);
    setFailure(undefined);
    // The way back is that of the state before.
    const undo = action.undo?.(state, values);
    try {
      onDone({ title: action.title, words: await action.act(values, why.trim() || undefined), failed: false, undo });
    } catch (error) {
      setFailure(wordsOf(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={box} class="action" aria-labelledby="action-title" onClose={onClose}>
      <form onSubmit={(event) => void act(event)}>
        <h2 id="action-title">
          <Data text={action.title} most={160} />
        </h2>
        <Fields fields={action.fields ?? []} values={values} onChange={setValues} disabled={busy} />
        <Consequence preview={preview} />
        <label class="field">
          <span>why</span>
          <input
            type="text"
            value={why}
            maxLength={1_000}
            disabled={busy}
            onInput={(event) => setWhy(event.currentTarget.value)}
          />
          <small>for the log; it may be left out</small>
        </label>
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

function Failure({ words }: { words: string | undefined }) {
  if (words === undefined) return null;
  return (
    <p class="trouble" role="alert">
      <State is="failed" word="It was not done: " />
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

/** Said anew with each change of the state or the fields; a dry run is asked when the fields rest. */
function usePreview(action: Action, state: Whole, values: Values): Preview | undefined {
  const [asked, setAsked] = useState<Preview>();
  const key = JSON.stringify(values);
  useEffect(() => {
    const { asks } = action;
    if (!asks) return undefined;
    const ending = new AbortController();
    const ask = async (): Promise<void> => {
      try {
        const answer = await asks(values, ending.signal);
        if (!ending.signal.aborted) setAsked(answer);
      } catch (error) {
        if (!ending.signal.aborted) setAsked({ says: [], refused: wordsOf(error) });
      }
    };
    const timer = setTimeout(() => void ask(), 150);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [key]);
  return action.says ? action.says(state, values) : asked;
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
