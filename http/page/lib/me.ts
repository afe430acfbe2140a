/** The reader as the server knows them, and what they may. Asked once by `shell.tsx`; read by buttons and links. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

const ROLES = ['read', 'operate', 'admin'] as const;
export type Role = (typeof ROLES)[number];

export interface Me {
  /** For the audit. */
  name: string;
  role: Role;
  /** Signed in here, by a token: one can sign out. */
  byCookie: boolean;
  environment: {
    temporal: string;
    namespace: string;
    database: string | null;
    /** The address of Temporal's own page; null or nothing: it is not known. */
    ui?: string | null;
  };
}

export const MeContext = createContext<Me | undefined>(undefined);
export const useMe = (): Me | undefined => useContext(MeContext);

export function may(me: Me | undefined, needed: Role): boolean {
  return me !== undefined && ROLES.indexOf(me.role) >= ROLES.indexOf(needed);
}

/** The workflow's page in Temporal's own UI. */
export function workflowLink(me: Me | undefined, workflowId: string): string | undefined {
  const ui = me?.environment.ui;
  if (!ui || !/^https?:\/\//.test(ui)) return undefined;
  const place = ['namespaces', me.environment.namespace, 'workflows', workflowId].map(encodeURIComponent).join('/');
  return `${ui.replace(/\/+$/, '')}/${place}`;
}
