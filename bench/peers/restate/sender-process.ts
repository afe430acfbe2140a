/** A program that asks Restate's rooms, in a process of its own, as `bench/member/sender-process.ts` asks ours. */
import { Pool } from 'undici';
import { serve } from '../../harness/child';
import { zipf } from '../../member/zipf';

interface Plan {
  members: number;
  seconds: number;
  atOnce: number;
}

const headers = { 'content-type': 'application/json' };
const body = JSON.stringify({ say: 'word' });

/** @returns how long each answer took, milliseconds */
async function run(origin: string, { members, seconds, atOnce }: Plan): Promise<number[]> {
  const pool = new Pool(origin, { connections: atOnce });
  const draw = zipf(members);
  const took: number[] = [];
  const end = performance.now() + seconds * 1_000;
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      const at = performance.now();
      const answer = await pool.request({ method: 'POST', path: `/room/room-${draw()}/say`, headers, body });
      if (answer.statusCode !== 200) throw new Error(`Restate answers ${answer.statusCode}`);
      await answer.body.json();
      took.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
  await pool.close();
  return took;
}

serve({ run });
