/** The charts of a thing's last hours, with marks for operators' acts and restarts. */
export function History(_: { of: 'tracker' | 'buffer' | 'job' | 'bucket' | 'node'; name: string }) {
  return null;
}
