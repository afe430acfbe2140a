/** The fields of a dialog, as an action's data says them. */
import type { Field, Values } from '../actions/action';
import { shown } from '../lib/format';

interface Props {
  fields: readonly Field[];
  values: Values;
  onChange: (values: Values) => void;
  disabled: boolean;
}

export function Fields({ fields, values, onChange, disabled }: Props) {
  const set = (name: string, value: string): void => onChange({ ...values, [name]: value });
  return (
    <>
      {fields.map((field) => (
        <label class="field" key={field.name}>
          <span>{field.label}</span>
          <Input
            field={field}
            value={values[field.name] ?? ''}
            disabled={disabled}
            set={(value) => set(field.name, value)}
          />
          {field.hint && <small>{field.hint}</small>}
        </label>
      ))}
    </>
  );
}

function Input({
  field,
  value,
  disabled,
  set,
}: {
  field: Field;
  value: string;
  disabled: boolean;
  set: (value: string) => void;
}) {
  const common = { value, disabled, required: field.required };
  if (field.kind === 'choice') {
    return (
      <select {...common} onChange={(event) => set(event.currentTarget.value)}>
        {field.choices?.map((choice) => (
          <option key={choice} value={choice}>
            {shown(choice, 80)}
          </option>
        ))}
      </select>
    );
  }
  if (field.kind === 'long')
    return <textarea {...common} rows={5} onInput={(event) => set(event.currentTarget.value)} />;
  return <input {...common} type="text" onInput={(event) => set(event.currentTarget.value)} />;
}
