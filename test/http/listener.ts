/** Listens to the stream of a dashboard, an event after the other. For the tests of the API. */
import type { Dashboard } from '../../http/app';

export interface Heard {
  event: string;
  data: Record<string, unknown>;
}

export async function listen(dashboard: Dashboard): Promise<{ next(): Promise<Heard>; leave(): Promise<void> }> {
  const response = await dashboard(new Request('http://localhost/api/v1/stream'));
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const next = async (): Promise<Heard> => {
    for (;;) {
      const end = text.indexOf('\n\n');
      if (end < 0) {
        const { done, value } = await reader.read();
        if (done) throw new Error('the stream has ended');
        text += value;
        continue;
      }
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? [];
      if (event !== undefined) return { event, data: JSON.parse(data!) as Heard['data'] };
    }
  };
  return { next, leave: () => reader.cancel() };
}
