/** Bundles the page into this folder. */
export function buildPage(folder: string): Promise<void>;
