/** The parts of the floor that the command line loads together, when it needs them. */
export { createDashboard } from './app';
export { serveDashboard } from './serve';
export { isOfLoopback, readHosts } from './guard';
