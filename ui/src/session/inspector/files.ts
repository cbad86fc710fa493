import { str } from "../../journal/events.ts";
import type { Transcript } from "../../journal/model.ts";
import { parseDiff } from "../../text/diff.ts";

export interface Touched {
  path: string; added: number; removed: number;
  /** The row of the newest change that is still in the conversation. */
  key: string;
}

/** Files that the agent and its sub-agents wrote, the newest first; what was rolled back is left out. */
export function filesTouched(transcript: Transcript): Touched[] {
  const found = new Map<string, Touched>();
  const rows = [transcript, ...Object.values(transcript.agents)].flatMap(({ items }) => items);
  for (const item of rows) {
    if (item.kind !== "tool" || item.state !== "ok" || transcript.away.has(item.key)) continue;
    for (const file of parseDiff(str(item.detail, "diff"))) {
      const before = found.get(file.path);
      found.delete(file.path);
      found.set(file.path, { path: file.path, added: (before?.added ?? 0) + file.added, removed: (before?.removed ?? 0) + file.removed, key: item.key });
    }
  }
  return [...found.values()].reverse();
}
