/** Certificates for tests of TLS, made by openssl: an authority, and what it signs. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface Certificate {
  cert: string;
  key: string;
}

export class Authority implements Certificate {
  readonly cert: string;
  readonly key: string;

  /** @param folder for its files, made where there is none. */
  constructor(private readonly folder: string) {
    mkdirSync(folder, { recursive: true });
    this.cert = path.join(folder, 'authority.crt');
    this.key = path.join(folder, 'authority.key');
    const subject = ['-subj', `/CN=Test authority ${path.basename(folder)}`];
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      ...subject,
      '-out',
      this.cert,
      '-keyout',
      this.key,
    );
    writeFileSync(path.join(folder, 'index.txt'), '');
    writeFileSync(
      path.join(folder, 'ca.cnf'),
      `[ca]\ndefault_ca = own\n[own]\ndatabase = ${path.join(folder, 'index.txt')}\nnew_certs_dir = ${folder}\nrand_serial = yes\n` +
        'default_md = sha256\npolicy = any\ncopy_extensions = copy\nunique_subject = no\n[any]\ncommonName = supplied\n',
    );
  }

  /** @param host the name that it is for. @param expired a day ago. */
  sign(name: string, host: string, expired = false): Certificate {
    const file = (end: string): string => path.join(this.folder, `${name}.${end}`);
    const names = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`];
    openssl('req', '-newkey', 'rsa:2048', '-nodes', ...names, '-out', file('csr'), '-keyout', file('key'));
    const day = (days: number): string =>
      `${new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`;
    const dates = ['-startdate', day(-3), '-enddate', day(expired ? -1 : 2)];
    const by = ['-cert', this.cert, '-keyfile', this.key];
    openssl(
      'ca',
      '-batch',
      '-notext',
      '-config',
      settingsOf(this.folder),
      ...by,
      ...dates,
      '-in',
      file('csr'),
      '-out',
      file('crt'),
    );
    return { cert: file('crt'), key: file('key') };
  }
}

const settingsOf = (folder: string): string => path.join(folder, 'ca.cnf');

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
