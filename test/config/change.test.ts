/** One option changed by hand: `config --set operations.location.every=500ms`. */
import { optionChange, splitChange } from '../../config/change';
import { ConfigError } from '../../config/errors';
import { formatDuration, parseDuration } from '../../config/values';

const OPERATIONS = ['location', 'ship'];

test.each([
  ['operations.location.every=500ms', 'operations.location.everyMs', 500],
  ['operations.location.every=250', 'operations.location.everyMs', 250],
  ['operations.location.concurrency=1_000', 'operations.location.concurrency', 1_000],
  ['operations.ship.enabled=false', 'operations.ship.enabled', false],
  ['operations.ship.stagger.window=2m', 'operations.ship.stagger.windowMs', 120_000],
  ['operations.ship.skipWhile.operation=location', 'operations.ship.skipWhile.operation', 'location'],
  ['gate.every = 10s', 'gate.everyMs', 10_000],
  ['poolSize=20', 'poolSize', 20],
  ['operations.location.every=', 'operations.location.everyMs', null],
  ['operations.location.every=default', 'operations.location.everyMs', null],
])('%s is taken', (text, path, value) => {
  expect(optionChange(...splitChange(text), OPERATIONS)).toEqual({ path, value });
});

test.each([
  [
    'operations.location.evry=1s',
    "there is no option operations.location.evry; did you mean 'operations.location.every'?",
  ],
  [
    'operations.location.everyMs=1000',
    "there is no option operations.location.everyMs; did you mean 'operations.location.every'?",
  ],
  [
    'operations.locaton.every=1s',
    "operations.locaton.every: there is no operation 'locaton'; did you mean 'location'?",
  ],
  ['operations.wallet.every=1s', "operations.wallet.every: there is no operation 'wallet'; there are location, ship"],
  ['location.every=1s', "there is no option location.every; did you mean 'operations.location.every'?"],
  ['poolsize=5', "there is no option poolsize; did you mean 'poolSize'?"],
  ['operations.location.every=1ms', "operations.location.every must be at least 50 ms, not '1ms'"],
  ['operations.location.concurrency=many', "operations.location.concurrency must be a whole number, not 'many'"],
  ['operations.location.enabled=1', "operations.location.enabled must be true or false, not '1'"],
  [
    'operations.location',
    "'operations.location' is not a change: write PATH=VALUE, such as operations.location.every=500ms",
  ],
  ['=5', "'=5' is not a change: write PATH=VALUE, such as operations.location.every=500ms"],
])('%s is refused', (text, message) => {
  expect(() => optionChange(...splitChange(text), OPERATIONS)).toThrow(new ConfigError([message]));
});

test.each([0, 1, 250, 1_000, 90_000, 600_000, 5_400_000, 86_400_000, 1_234_567])(
  '%d ms is written so that it reads back',
  (ms) => {
    expect(parseDuration(formatDuration(ms))).toBe(ms);
  },
);
