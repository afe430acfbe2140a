/** Leases through thousands of histories: never two at a time, one attempt is one run, effect and result together, what is taken back stays so. */
import { simulate } from '../support/simulate';
import { LeaseWorld } from './lease-world';

simulate('leases: renewed, lost, handed back, taken over', (seed) => new LeaseWorld(seed).live());
