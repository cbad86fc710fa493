import type { Item, Transcript } from "../journal/model.ts";

/** Characters of a kept transcript, and of all its sub-agents together. */
const MOST = 1_000_000;

function tail(items: readonly Item[], room: number): { items: Item[]; left: number } {
  let left = room;
  let start = items.length;
  while (start > 0) {
    const size = JSON.stringify(items[start - 1]).length;
    if (size > left) break;
    left -= size;
    start -= 1;
  }
  return { items: items.slice(start), left };
}

/** The end of a transcript, as much of it as is kept on the device. Pure. */
export function trimmed(transcript: Transcript, most = MOST): Transcript {
  const own = tail(transcript.items, most);
  let left = own.left;
  const agents = Object.entries(transcript.agents).map(([run, agent]) => {
    const kept = tail(agent.items, left);
    left = kept.left;
    return [run, { ...agent, items: kept.items }] as const;
  });
  return { ...transcript, items: own.items, agents: Object.fromEntries(agents) };
}
