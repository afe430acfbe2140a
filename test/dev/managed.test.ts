import { tellingLines } from '../../workers/dev/managed';

const stack = Array.from({ length: 30 }, (_, i) => `main.f${i}(...)\n\t/src/f${i}.go:${i}`).join('\n');

test('the reason of a panic is shown, not the end of its stack trace', () => {
  const said = `started\npanic: listen tcp 127.0.0.1:7233: bind: address already in use\n\ngoroutine 1 [running]:\n${stack}`;
  expect(tellingLines(said)).toMatch(/^panic: .*address already in use/);
  expect(tellingLines(said).split('\n')).toHaveLength(8);
});

test('without a panic the end of the log is shown', () => {
  expect(tellingLines(stack).split('\n').at(-1)).toBe('\t/src/f29.go:29');
});
