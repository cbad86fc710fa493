import type { Draft, Handler } from "./draft.ts";
import { type Frame, num, str } from "./events.ts";
import type { Reached } from "./model.ts";

/** Single decisions kept of one host in one row; the sums count all of them. */
export const DECISIONS_KEPT = 100;
/** A connection that ended with its command may be told a moment after it. */
const LATE_MS = 2_000;
/** The gate sums what repeats and tells the sum at the end of such a time. */
const WINDOW_MS = 15_000;

const isOpen = ({ data }: Frame): boolean => str(data, "state") === "open";
const isAllowed = ({ type }: Frame): boolean => type === "network.allowed";

/** `network.allowed` and `network.denied`: into the row of the command that ran, or into one of their own. */
export const networkDecided: Handler = (draft, data, frame) => {
  const number = isAllowed(frame) ? String(num(data, "connection")) : "";
  const host = str(data, "host");
  // Who asked for a name only has not named a port.
  const port = str(data, "via") === "dns" ? 0 : num(data, "port");
  const key = isOpen(frame) ? undefined : draft.open[number];
  const opened = key === undefined ? -1 : draft.items.findLastIndex((item) => item.key === key);
  const index = opened === -1 ? rowFor(draft, host, port, Date.parse(frame.at)) : opened;
  const row = draft.items[index];
  if (row === undefined || !("network" in row)) return;
  const isNew = isAllowed(frame) && key === undefined;
  draft.replaceAt(index, { ...row, network: withDecision(row.network, host, port, frame, isNew) });
  if (!isOpen(frame) && key === undefined) return;
  const { [number]: _before, ...others } = draft.open;
  draft.open = isOpen(frame) ? { ...others, [number]: row.key } : others;
};

/** Index of the row that takes a decision; one is made when no command can have caused it. */
function rowFor(draft: Draft, host: string, port: number, now: number): number {
  let [late, alike] = [-1, -1];
  for (let index = draft.items.length - 1; index >= 0; index--) {
    const item = draft.items[index];
    if (item === undefined || item.kind === "user") break;
    if (!("network" in item)) continue;
    if (item.kind === "tool" && item.state === "running") return index;
    if (late === -1 && item.kind === "tool" && item.tool === "shell" && item.durationMs !== null) {
      if (now - Date.parse(item.startedAt) - item.durationMs <= LATE_MS) late = index;
    }
    const before = item.network.find((entry) => entry.host === host && entry.port === port)?.decisions.at(-1);
    if (alike === -1 && before !== undefined && now - Date.parse(before.at) <= WINDOW_MS) alike = index;
  }
  if (late !== -1 || alike !== -1) return Math.max(late, alike);
  const end = draft.end();
  if (draft.items[end - 1]?.kind === "network") return end - 1;
  draft.splice(end, 0, { kind: "network", key: `network:${draft.seq}`, runId: "", network: [] });
  return end;
}

function withDecision(list: readonly Reached[], host: string, port: number, frame: Frame, isNew: boolean): Reached[] {
  const { data } = frame;
  const at = list.findIndex((entry) => entry.host === host && entry.port === port);
  const before = list[at] ?? { host, port, connections: 0, denied: 0, up: 0, down: 0, decisions: [] };
  const was = before.decisions.findIndex((entry) => isOpen(entry) && entry.data["connection"] === data["connection"]);
  const decisions = was === -1 ? [...before.decisions, frame] : before.decisions.with(was, frame);
  const after: Reached = {
    ...before,
    connections: before.connections + (isNew ? Math.max(1, num(data, "count")) : 0),
    denied: before.denied + (isAllowed(frame) ? 0 : Math.max(1, num(data, "count"))),
    up: before.up + (isOpen(frame) ? 0 : num(data, "up")),
    down: before.down + (isOpen(frame) ? 0 : num(data, "down")),
    decisions: decisions.slice(-DECISIONS_KEPT),
  };
  return at === -1 ? [...list, after] : list.with(at, after);
}
