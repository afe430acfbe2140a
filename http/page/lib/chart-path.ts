/** The geometry of a chart's lines. Pure; for `parts/chart.tsx`. */

/** The value at the upper edge: a round one, with room above the largest. */
export function topOf(lines: readonly (readonly (number | null)[])[]): number {
  const most = Math.max(0, ...lines.flatMap((values) => values.filter((value) => value !== null)));
  if (most <= 0) return 1;
  const step = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((times) => times * step).find((top) => top >= most)!;
}

/** A gap where a value is missing: it was not measured, which is not zero. A value alone is a dot. */
export function pathOf(values: readonly (number | null)[], top: number, width: number, height: number): string {
  const step = width / Math.max(1, values.length - 1);
  let path = '';
  let isDown = false;
  values.forEach((value, i) => {
    if (value === null) {
      isDown = false;
      return;
    }
    const y = height - 1 - (Math.min(value, top) / top) * (height - 2);
    path += `${isDown ? 'L' : 'M'}${(i * step).toFixed(1)} ${y.toFixed(1)}`;
    if (!isDown && (values[i + 1] ?? null) === null) path += 'h.5';
    isDown = true;
  });
  return path;
}
