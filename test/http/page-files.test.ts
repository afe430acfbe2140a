/** The files of the page, their headers, and the prefix under which they are. No server is asked. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { DashboardOptions } from '../../http/app';
import { dashboardWith, get } from './alone';

describe('the page', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'page-'));
  writeFileSync(path.join(folder, 'index.html'), '<!doctype html><script src="app.js"></script>');
  writeFileSync(path.join(folder, 'app.js'), '1');
  writeFileSync(path.join(folder, 'notes.txt'), 'not for readers');
  mkdirSync(path.join(folder, 'inner'));
  const page = (options: Partial<DashboardOptions> = {}) => dashboardWith({ open: true, page: folder, ...options });

  test('its own files, and no others', async () => {
    const at = async (name: string) => (await get(page(), `http://localhost/${name}`)).status;
    expect([await at(''), await at('index.html'), await at('app.js')]).toEqual([200, 200, 200]);
    for (const name of [
      'notes.txt',
      'inner',
      '..%2f..%2fetc%2fpasswd',
      '%2e%2e/x',
      'app.js/',
      'constructor',
      '__proto__',
    ])
      // prettier-ignore
      expect([name, await at(name)]).toEqual([name, 404]);
  });

  test('every answer lets it load from its own place only, and run no script of its text', async () => {
    for (const at of ['', 'app.js', 'api/v1/me', 'api/v1/nothing', 'api/v1/activities/a/keys/k', 'nothing']) {
      const { headers } = await get(page(), `http://localhost/${at}`);
      const policy = headers.get('content-security-policy')!;
      expect(policy).toContain("default-src 'none'; script-src 'self';");
      expect(policy).not.toMatch(/unsafe/);
      expect([headers.get('x-frame-options'), headers.get('x-content-type-options')]).toEqual(['DENY', 'nosniff']);
      expect(headers.get('access-control-allow-origin')).toBeNull();
    }
  });

  test('a program that sends strangers to its login does so for the page as well', async () => {
    const user = (known: boolean) => () => known ? { name: 'ana', role: 'read' as const } : Response.redirect('http://localhost/login'); // prettier-ignore
    const at = (known: boolean, name: string) =>
      get(dashboardWith({ authenticate: user(known), page: folder }), `http://localhost/${name}`);
    for (const name of ['', 'index.html']) {
      expect((await at(false, name)).headers.get('location')).toBe('http://localhost/login');
      expect((await at(true, name)).status).toBe(200);
    }
    expect((await at(false, 'app.js')).status).toBe(200);
  });

  test('the same again is not sent again', async () => {
    const tag = (await get(page(), 'http://localhost/app.js')).headers.get('etag')!;
    expect((await get(page(), 'http://localhost/app.js', { 'if-none-match': tag })).status).toBe(304);
  });

  test.each(['/ops/lw', '/ops/lw/'])('under the prefix %s', async (prefix) => {
    const dashboard = page({ prefix });
    expect((await get(dashboard, 'http://localhost/ops/lw')).headers.get('location')).toBe('/ops/lw/');
    expect((await get(dashboard, 'http://localhost/ops/lw/')).status).toBe(200);
    expect((await get(dashboard, 'http://localhost/ops/lw/api/v1/me')).status).toBe(200);
    // A program that mounts it may have taken the prefix off already.
    expect((await get(dashboard, 'http://localhost/api/v1/me')).status).toBe(200);
    expect((await get(dashboard, 'http://localhost/ops/lwx/api/v1/me')).status).toBe(404);
  });

  test.each(['ops', '/a b', '/<x>', '/a//b'])('%j is not a prefix', (prefix) => {
    expect(() => page({ prefix })).toThrow(TypeError);
  });
});
