/** The bare loop in a process of its own, as a worker is one. Called by `bench/scenarios/blocks.ts`. */
import { serve } from '../harness/child';
import { bareIndex } from './bare';

serve({ index: bareIndex });
