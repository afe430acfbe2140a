/** No container engine is needed: the files are read, and what can go wrong without a run is looked for. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pino } from 'pino';
import { parse } from 'yaml';
import { program } from '../../cli/main';
import { startDevServers, type DevServers } from '../../workers/dev/servers';
import { temporalSpec } from '../../workers/dev/temporal-server';
import { migrate } from '../../workers/migrate';
import { newFolder, query, removeFolder } from './stack';
import { SEARCH_ATTRIBUTES } from '../../workflows/lib/contract';

const root = path.join(__dirname, '..', '..');
const text = readFileSync(path.join(root, 'docker-compose.yml'), 'utf8');
const dockerfile = readFileSync(path.join(root, 'Dockerfile'), 'utf8');

const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { scripts: { start: string } };

interface Service {
  image: string;
  build?: string;
  restart?: string;
  healthcheck?: { test: string[] };
  command?: string[];
  ports?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  volumes?: string[];
  cap_drop?: string[];
  security_opt?: string[];
  configs?: { source: string }[];
}
interface Compose {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
  configs: Record<string, { content: string }>;
}
const compose = parse(text, { merge: true }) as Compose;
const services = Object.entries(compose.services);

/** Others wait for its end, so it is meant to end. */
const isOneShot = (name: string): boolean =>
  services.some(([, service]) => service.depends_on?.[name]?.condition === 'service_completed_successfully');

/** An exact version: at least two numbers, or a version of our own build. */
const PINNED = /^[\w./-]+:\d+\.\d+(\.\d+)?[\w.-]*$/;

test.each(services)('%s is pinned, comes back, and says whether it is well', (name, service) => {
  expect(service.image).toMatch(PINNED);
  if (isOneShot(name)) {
    expect(service.restart).toMatch(/^on-failure:\d+$/);
    expect(service.healthcheck).toBeUndefined();
  } else {
    expect(service.restart).toBe('unless-stopped');
    expect(service.healthcheck?.test[0]).toMatch(/^CMD/);
  }
});

test('what a service waits for exists and can come about', () => {
  for (const [, service] of services) {
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      expect(compose.services[other]).toBeDefined();
      const possible = isOneShot(other) ? 'service_completed_successfully' : 'service_healthy';
      expect(condition).toBe(possible);
    }
    for (const volume of service.volumes ?? []) expect(compose.volumes).toHaveProperty([volume.split(':')[0]!]);
    for (const config of service.configs ?? []) expect(compose.configs).toHaveProperty([config.source]);
  }
});

test('every published port is bound to 127.0.0.1', () => {
  const ports = services.flatMap(([, service]) => service.ports ?? []);
  expect(ports.length).toBeGreaterThan(0);
  for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
});

test('every secret comes from the environment, and nothing starts without it', () => {
  const lines = text
    .split('\n')
    .filter((line) => /PASSWORD|_PWD|postgres:\/\//.test(line) && !line.trim().startsWith('#') && !line.includes('$$'));
  expect(lines.length).toBeGreaterThan(5);
  for (const line of lines.filter((each) => !each.includes('postgres://'))) {
    expect(line).toMatch(/\$\{\w+_PASSWORD:\?set it, see the head of docker-compose\.yml\}$/);
  }
  // A password within an address would have to be written in another way there.
  for (const line of lines.filter((each) => each.includes('postgres://'))) expect(line).toMatch(/postgres:\/\/\w+@/);
});

test.each(services)('%s gains no rights while it runs', (_name, service) => {
  expect(service.cap_drop).toEqual(['ALL']);
  expect(service.security_opt).toContain('no-new-privileges:true');
  if (service.build !== undefined) expect(service).toMatchObject({ read_only: true, tmpfs: ['/tmp'] });
});

describe('the database roles', () => {
  const dir = newFolder();
  let servers: DevServers;
  beforeAll(async () => (servers = await startDevServers({ dir, ui: false, temporalAddress: 'given:1' })));
  afterAll(async () => {
    await servers.stop();
    removeFolder(dir);
  });

  test('the worker owns its database and is not a superuser; a name without a schema means public', async () => {
    const script = compose.configs['longwatch-roles']!.content;
    const sql = /<<'SQL'\n([\s\S]*?)\nSQL/.exec(script)![1]!;
    const password = "it's @/#%";
    // As psql does it, statement by statement; the server here has a database of that name already.
    for (const statement of sql
      .split(';')
      .map((each) => each.trim())
      .filter(Boolean)) {
      const text = statement
        .replace(":'password'", `'${password.replaceAll("'", "''")}'`)
        .replaceAll('database longwatch', 'database composed');
      await query(servers.databaseUrl, text);
    }
    const url = new URL(servers.databaseUrl);
    Object.assign(url, { username: 'longwatch_app', password: encodeURIComponent(password), pathname: '/composed' });
    await migrate(url.href, pino({ level: 'silent' }));
    expect(
      await query(url.href, 'select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user'),
    ).toEqual([{ rolsuper: false, rolcreatedb: false, rolcreaterole: false }]);
    await query(url.href, 'create table tick (id int)');
    expect(await query(url.href, "select to_regclass('tick')::oid = to_regclass('public.tick')::oid as own")).toEqual([
      { own: true },
    ]);
    await expect(query(url.href, "select pg_read_file('/etc/passwd')")).rejects.toThrow(/permission denied/);
  });

  test("the development stack's names without a schema mean public too", async () => {
    await query(servers.databaseUrl, 'create schema longwatch; create table tick (id int)');
    expect(await query(servers.databaseUrl, "select to_regclass('public.tick') is not null as own")).toEqual([
      { own: true },
    ]);
  });
});

test('every longwatch command is one that the command line takes', () => {
  const fromDockerfile = [...dockerfile.matchAll(/^CMD (\[.*\])$/gm)].map((match) => JSON.parse(match[1]!) as string[]);
  const commands = [...fromDockerfile, ...services.flatMap(([, { command }]) => (command ? [command] : []))]
    .filter((command) => command[0] === 'longwatch')
    .map((command) => command.slice(1));
  expect(commands.map(([verb]) => verb).sort()).toEqual(['migrate', 'worker', 'worker']);
  for (const [name, ...rest] of commands) {
    const verb = program().commands.find((command) => command.name() === name)!;
    const flags = verb.options.map((option) => option.long);
    for (const flag of rest.filter((word) => word.startsWith('--'))) expect(flags).toContain(flag);
    const config = rest[rest.indexOf('--config') + 1]?.match(/[\w/]+\.config\.ts/)?.[0];
    if (name === 'worker') expect(manifest.scripts.start).toContain(config);
  }
});

test('the search attributes are those of the contract', () => {
  const names = { KEYWORD: 'Keyword', INT: 'Int' };
  for (const [name, type] of Object.entries(SEARCH_ATTRIBUTES)) {
    expect(String(compose.services['temporal-namespace']!.command)).toContain(`attribute ${name} ${names[type]}`);
  }
});

test('the settings of the server are YAML that it can read, and those of the development server', () => {
  const given = { binary: 'temporal', file: 'f', log: 'l', cwd: '/', port: 1, namespace: 'n' };
  const { args } = temporalSpec(given);
  const developed = args.filter((_, at) => args[at - 1] === '--dynamic-config-value').map((one) => one.split('='));
  const composed = parse(compose.configs['temporal-dynamic']!.content) as Record<string, { value: unknown }[]>;
  const plain = Object.entries(composed).map(([key, [one]]) => [key, JSON.stringify(one!.value)]);
  expect(Object.fromEntries(plain)).toEqual(Object.fromEntries(developed));
  expect(composed).toMatchObject({ 'matching.longPollExpirationInterval': [{ value: '2s' }] });
});

test('the Dockerfile pins its base, builds from the lock file and does not run as root', () => {
  const bases = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]!);
  expect(bases).toHaveLength(2);
  for (const base of bases) expect(base).toMatch(PINNED);
  expect(dockerfile).toContain('npm ci');
  expect(dockerfile).toMatch(/npm prune --omit=dev/);
  expect(dockerfile.lastIndexOf('\nUSER node')).toBeGreaterThan(dockerfile.lastIndexOf('\nFROM '));
  expect(dockerfile).toContain('\nHEALTHCHECK ');
});
