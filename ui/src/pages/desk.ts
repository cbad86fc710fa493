import type { Session } from "../api/types.ts";
import type { Workspace } from "../state/workspace.ts";

/** How many ended runs Home tells of: what a person may still have in mind. */
const ENDED = 12;

export interface Desk {
  /** At work or in the queue, what changed last first; what waits for an answer is told of as that. */
  running: Session[];
  ended: Session[];
  /** Nothing ever ran here. */
  fresh: boolean;
}

/** What Home shows of the newest sessions of all projects. */
export function deskOf(space: Pick<Workspace, "sessions" | "attention">): Desk {
  const all = Object.values(space.sessions).flatMap((page) => page.items);
  all.sort((one, two) => two.updated_at.localeCompare(one.updated_at));
  const going = all.filter(({ state }) => state === "running" || state === "waiting" || state === "queued");
  const asked = new Set(space.attention.map((item) => item.session));
  const ended = all.filter((session) => session.run !== null && !going.includes(session) && !asked.has(session.id));
  return {
    running: going.filter((session) => !asked.has(session.id)),
    ended: ended.slice(0, ENDED),
    fresh: all.every((session) => session.run === null && session.state === "idle"),
  };
}
