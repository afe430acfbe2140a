/** The ids of Longwatch's workflows, for links to Temporal's own page. A test holds them against `workflows/`. */
export const workflowId = {
  tracker: (name: string): string => `tracker/${name}`,
  pool: (tracker: string, pool: number): string => `pool/${tracker}/${pool}`,
  buffer: (name: string): string => `buffer/${name}`,
  shard: (buffer: string, shard: number): string => `shard/${buffer}/${shard}`,
  job: (name: string): string => `job/${name}`,
};
