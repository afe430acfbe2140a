/**
 * A buffer that is stopped, set and started again, and shards that are terminated by hand: what was accepted is there
 * afterwards. The parts share one stack (`stop/buffers.ts`).
 */
import './stop/stopping';
import './stop/pages';
import './stop/terminated';
