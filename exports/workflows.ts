/** `longwatch/workflows`: Longwatch's own workflows, for who bundles workflow code himself. */
export * from '../workflows/index';
