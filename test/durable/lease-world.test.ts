/**
 * Leases through thousands of histories: never two at a time, one attempt is one run, effect and result together, what
 * is taken back stays so.
 */
import { simulate } from '../support/simulate';
import { LeaseWorld } from './lease-world';

// Seeds that found something: an answer later than the lease, and a renewal of a lease whose resource another one had
// by then; a lost answer that used an attempt.
const examples = [363783552, 1276711375, 665185807];

simulate('leases: renewed, lost, handed back, taken over', (seed) => new LeaseWorld(seed).live(), { examples });
