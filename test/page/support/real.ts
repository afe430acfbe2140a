/**
 * The page over real servers: the real handler before a stack, and Chromium before that; and what a person does with an
 * action. For the tests of the actions.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { createDashboard, type DashboardOptions } from '../../../http/app';
import { serveDashboard, type Served } from '../../../http/serve';
import { buildPage } from '../../../scripts/page';
import { runCli } from '../../support/cli';
import type { Stack } from '../../support/stack';
import { Chromium } from './browser';

interface Listed {
  actor: string;
  via: string;
  subject: string;
  why: string | null;
  outcome: string;
}

export class RealSite {
  private readonly served: Served[] = [];

  private constructor(
    readonly stack: Stack,
    readonly chromium: Chromium,
    private readonly folder: string,
  ) {}

  static async start(starting: Promise<Stack>): Promise<RealSite> {
    const folder = mkdtempSync(path.join(tmpdir(), 'longwatch-page-'));
    const [stack, chromium] = await Promise.all([starting, Chromium.launch(), buildPage(folder)]);
    return new RealSite(stack, chromium, folder);
  }

  /** A dashboard of its servers: open, or with tokens. */
  async serve(options: DashboardOptions, port = 0): Promise<Served> {
    const { temporalAddress: address, namespace, databaseUrl } = this.stack.servers;
    const environment = { temporal: { address, namespace }, databaseUrl };
    const served = await serveDashboard(createDashboard({ environment, page: this.folder, ...options }), {
      host: '127.0.0.1',
      port,
    });
    let isStopped = false;
    const stop = async (): Promise<void> => {
      if (isStopped) return;
      isStopped = true;
      await served.stop();
    };
    this.served.push({ ...served, stop });
    return { ...served, stop };
  }

  async close(): Promise<void> {
    await this.chromium.close();
    for (const served of this.served) await served.stop();
    await this.stack.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The newest row of the audit about this. */
  async listed(what: string): Promise<Listed> {
    const rows = await this.stack.sql<Listed & Record<string, unknown>>(
      'select actor, via, subject, why, outcome from longwatch.audit where what = $1 order by number desc limit 1',
      [what],
    );
    return rows[0]!;
  }

  /** The same as the dialog that is open would do, by the command that it offers to copy, as a shell reads it. */
  async byCommand(page: Page): Promise<{ status: number; out: string; err: string }> {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.getByRole('dialog').getByRole('button', { name: /^copy: / }).click(); // prettier-ignore
    const line = await page.evaluate<string>('navigator.clipboard.readText()');
    const words = `npx() { printf '%s\\0' "$@"; }; ${line}`;
    const { stdout } = await promisify(execFile)('bash', ['-c', words], { cwd: this.folder });
    const [program, ...args] = stdout.split('\0').slice(0, -1);
    expect(program).toBe('longwatch');
    return runCli(this.stack, ...args);
  }
}

/** Opens an action's dialog, holds its words, and does it. @returns the outcome that the page shows */
export async function act(page: Page, name: string, says: RegExp, fill?: Record<string, string>): Promise<string> {
  await page.getByRole('button', { name, exact: true }).first().click();
  return confirm(page, says, fill);
}

export async function confirm(page: Page, says: RegExp, fill: Record<string, string> = {}): Promise<string> {
  const dialog = page.getByRole('dialog');
  for (const [label, value] of Object.entries(fill)) await dialog.getByRole('textbox', { name: label }).fill(value);
  await dialog.locator('.consequence').getByText(says).first().waitFor();
  await dialog.locator('button[type=submit]').click();
  await dialog.waitFor({ state: 'detached' });
  return page.locator('.outcome').innerText();
}

export const undo = (page: Page): Promise<void> =>
  page.locator('.outcome').getByRole('button', { name: 'undo' }).click();

/** Closes the dialog without doing it. */
export async function cancel(page: Page): Promise<void> {
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('dialog').waitFor({ state: 'detached' });
}
