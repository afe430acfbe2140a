/** The example for Kubernetes, read as `kubectl` would: what can go wrong without a cluster is looked for. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import ms from 'ms';
import { parse, parseAllDocuments } from 'yaml';
import { program } from '../../cli/main';

const root = path.join(__dirname, '..', '..');
const file = (name: string): string => readFileSync(path.join(root, name), 'utf8');

interface Container {
  name: string;
  image: string;
  command: string[];
  env?: { name: string }[];
  envFrom: object[];
  securityContext: object;
  volumeMounts: { name: string; mountPath: string }[];
  lifecycle?: { preStop: { exec: { command: string[] } } };
  ports?: { name: string; containerPort: number }[];
  livenessProbe?: { httpGet: { path: string; port: string } };
  readinessProbe?: { httpGet: { path: string; port: string } };
  startupProbe?: { httpGet: { path: string; port: string } };
}
interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  terminationGracePeriodSeconds?: number;
  volumes: { name: string }[];
}
interface Resource {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  spec: {
    template: { metadata?: { labels: Record<string, string> }; spec: PodSpec };
    selector: { matchLabels: Record<string, string> };
    serviceName?: string;
    maxUnavailable?: number;
    [field: string]: unknown;
  };
}

const documents = parseAllDocuments(file('docs/kubernetes.yaml'));
const resources = documents.map((document) => document.toJS() as Resource);
const of = (kind: string): Resource => resources.find((resource) => resource.kind === kind)!;
const pods = [of('Job'), of('StatefulSet')].map(({ spec }) => spec.template.spec);
const containers = pods.flatMap(({ containers: main, initContainers = [] }) => [...main, ...initContainers]);
const worker = containers.find(({ name }) => name === 'worker')!;

/** The commands of `longwatch` in it, also those within a shell's. */
const commands = [...containers.map(({ command }) => command), worker.lifecycle!.preStop.exec.command]
  .map((command) => command.join(' ').match(/longwatch .*?(?=$| \|\|)/)![0])
  .map((command) => command.split(' ').slice(1));

test('it is YAML without a mistake, and each kind is there once', () => {
  for (const { errors, warnings } of documents) expect([...errors, ...warnings]).toEqual([]);
  expect(resources.map(({ kind }) => kind).sort()).toEqual(['ConfigMap', 'Job', 'PodDisruptionBudget', 'Service', 'StatefulSet']); // prettier-ignore
});

test('every longwatch command is one that the command line takes', () => {
  expect(commands.map(([verb]) => verb).sort()).toEqual(['migrate', 'node', 'node', 'worker']);
  for (const words of commands) {
    let verb: Command = program();
    for (const word of words) verb = verb.commands.find((command) => command.name() === word) ?? verb;
    expect(verb.commands).toEqual([]);
    const flags = verb.options.map(({ long }) => long);
    for (const flag of words.filter((word) => word.startsWith('--'))) expect(flags).toContain(flag);
  }
});

test('a pod drains under its own name before it is told to end, and there is time for all of it', () => {
  expect(worker.env).toContainEqual(expect.objectContaining({ name: 'POD_NAME' }));
  expect(worker.command).toContain('$(POD_NAME)');
  const drain = worker.lifecycle!.preStop.exec.command.join(' ');
  expect(drain).toMatch(/longwatch node drain "\$POD_NAME" --wait --for/);
  const waits = Number(/timeout (\d+)/.exec(drain)![1]);
  // The next one of this name is not drained for ever, should nobody resume it, nor resumed while this one still ends.
  const resumesAfter = ms(/--for (\w+)/.exec(drain)![1] as ms.StringValue) / 1_000;
  const grace = pods[1]!.terminationGracePeriodSeconds!;
  expect(resumesAfter).toBeGreaterThan(grace);
  // The least of workers/worker.ts and workers/tasks.ts: 5 s for shifts, 25 s for the rest, and what closes after it.
  expect(grace).toBeGreaterThanOrEqual(waits + 5 + 25 + 10);
  const [resume] = pods[1]!.initContainers!;
  expect(resume!.command.join(' ')).toMatch(/longwatch node resume "\$POD_NAME" \|\| true$/);
});

test('in docker-compose.yml there is time as well, and nothing keeps a worker from having siblings', () => {
  const { services } = parse(file('docker-compose.yml'), { merge: true }) as {
    services: Record<string, Record<string, unknown>>;
  };
  const composed = services.worker!;
  expect(ms(composed.stop_grace_period as ms.StringValue)).toBeGreaterThanOrEqual(40_000);
  // A name or a port of the host would be the first one's alone.
  for (const only of ['container_name', 'ports', 'hostname']) expect(composed).not.toHaveProperty(only);
  expect(composed.command).not.toContain('--name');
  expect(containers.map(({ image }) => image)).toEqual(containers.map(() => composed.image));
});

test('the server of docker-compose.yml has one partition for every task queue, those of shifts too', () => {
  const { configs } = parse(file('docker-compose.yml')) as { configs: Record<string, { content: string }> };
  const settings = parse(configs['temporal-dynamic']!.content) as Record<string, object[]>;
  for (const which of ['Read', 'Write']) {
    // Without constraints: they would leave a queue of a node, or of a label, with four.
    expect(settings[`matching.numTaskqueue${which}Partitions`]).toEqual([{ value: 1 }]);
  }
  expect(settings['matching.enableFairness']).toEqual([{ value: true }]);
});

test('probes ask the paths that a worker has, on its metrics port', () => {
  const [port] = worker.ports!;
  expect(String(port!.containerPort)).toBe(worker.command[worker.command.indexOf('--metrics-port') + 1]);
  const paths = [worker.livenessProbe, worker.readinessProbe, worker.startupProbe].map((probe) => probe!.httpGet);
  expect(paths.map(({ path: asked }) => asked)).toEqual(['/healthz', '/readyz', '/healthz']);
  for (const probe of paths) expect(probe.port).toBe(port!.name);
});

test('labels select the pods, what is mounted is there, and nothing has more rights than it needs', () => {
  const { labels } = of('StatefulSet').spec.template.metadata!;
  expect(of('StatefulSet').spec.selector.matchLabels).toEqual(labels);
  expect(of('PodDisruptionBudget').spec).toEqual({ maxUnavailable: 1, selector: { matchLabels: labels } });
  expect(of('Service').spec.selector).toEqual(labels);
  expect(of('StatefulSet').spec.serviceName).toBe(of('Service').metadata.name);
  for (const pod of pods) {
    for (const { volumeMounts } of [...pod.containers, ...(pod.initContainers ?? [])]) {
      expect(volumeMounts.map(({ name }) => name)).toEqual(pod.volumes.map(({ name }) => name));
    }
  }
  for (const { securityContext, envFrom } of containers) {
    expect(securityContext).toMatchObject({
      ...{ runAsNonRoot: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
      capabilities: { drop: ['ALL'] },
    });
    expect(envFrom).toHaveLength(2);
  }
  // The password is in the secret, and no address has one.
  expect(Object.keys(of('ConfigMap').data!).sort()).toEqual(['DATABASE_URL', 'TEMPORAL_ADDRESS', 'TEMPORAL_NAMESPACE']);
  expect(of('ConfigMap').data!.DATABASE_URL).not.toMatch(/:[^/@]*@/);
});
