/** The bare loop (`bare.ts`) in a process of its own, as a worker has one. */
import { serve } from '../harness/child';
import { bareRate, type BareLoop } from './bare';

serve({ rate: (loop: BareLoop, seconds: number) => bareRate(loop, seconds) });
