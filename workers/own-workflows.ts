/** The files of Longwatch's workflow code, as sources or built: every bundle is made of them. */
import path from 'node:path';

const fileOf = (name: string): string => path.join(__dirname, '..', 'workflows', `${name}${path.extname(__filename)}`);

export const OWN_WORKFLOWS = fileOf('index');
/** They hold for all workflows of a worker, also for the user's own. */
export const WORKFLOW_INTERCEPTORS = [fileOf('interceptors')];
