import { type Frame, str } from "../journal/events.ts";
import { Store } from "../state/store.ts";

/** How a question was closed, by whoever it was. */
export interface Decided {
  answer: string;
  actor: string;
  withdrawn: boolean;
}

const KEPT = 200;

/** What was decided since the page was loaded, by question. */
export const decided = new Store<Readonly<Record<string, Decided>>>({});

/** Takes note of decisions among events; tells whether there were any. */
export function settle(frames: readonly Frame[]): boolean {
  const found = frames
    .filter((frame) => frame.type === "attention.resolved")
    .map(({ data }): [string, Decided] => [
      str(data, "attention_id"),
      { answer: str(data, "answer"), actor: str(data, "actor"), withdrawn: data["withdrawn"] === true },
    ]);
  if (found.length > 0) decided.set((held) => Object.fromEntries([...Object.entries(held), ...found].slice(-KEPT)));
  return found.length > 0;
}
