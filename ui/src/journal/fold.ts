import { approvalOf } from "./approval.ts";
import { Draft, type Handler, newTool, withOutput } from "./draft.ts";
import { actorName, type Frame, list, names, num, record, str } from "./events.ts";
import {
  type Attention, EMPTY, type Item, NO_USAGE, type NoticeItem, openQuestion, type Run, type TextItem, type ToolItem,
  type Transcript,
} from "./model.ts";
import { networkDecided } from "./network.ts";
import type { Waiting } from "../api/types.ts";
import { t } from "../i18n/index.ts";

type Data = Record<string, unknown>;

/** One event onto a transcript. An event that is already in it (by number) changes nothing. */
export const fold = (transcript: Transcript, frame: Frame): Transcript => foldAll(transcript, [frame]);

/** A batch of events in order. Returns the same object when there was nothing new. */
export function foldAll(transcript: Transcript, frames: readonly Frame[]): Transcript {
  let draft: Draft | null = null;
  for (const frame of frames) {
    if (frame.seq <= (draft?.seq ?? transcript.seq)) continue;
    draft ??= new Draft(transcript);
    draft.seq = frame.seq;
    // Files, and so checkpoints, are the session's, whoever changes them.
    const place = frame.type.split(".")[0] === "checkpoint" ? draft : draft.of(str(frame.data, "run_id"));
    place.seq = frame.seq;
    (HANDLERS[frame.type] ?? unknownType)(place, frame.data, frame);
  }
  return draft?.finish() ?? transcript;
}

function addUsage(usage: Transcript["usage"], data: Data): Transcript["usage"] {
  return {
    input: usage.input + num(data, "input_tokens"), output: usage.output + num(data, "output_tokens"),
    cacheRead: usage.cacheRead + num(data, "cache_read_tokens"),
    cacheWrite: usage.cacheWrite + num(data, "cache_write_tokens"), cost: usage.cost + num(data, "cost"),
    estimated: usage.estimated || data["estimated"] === true,
  };
}

function newText(kind: string, data: Data, frame: Frame, part: number): TextItem {
  const [runId, messageId] = [str(data, "run_id"), str(data, "message_id")];
  const of = { key: `part:${messageId}:${part}`, runId, messageId, part, at: frame.at };
  return { kind: kind === "thinking" ? "thinking" : "text", ...of, endedAt: "", text: "", streaming: true, interrupted: false };
}

type Told = Pick<NoticeItem, "code" | "message"> & Partial<NoticeItem>;

function notice(draft: Draft, data: Data, frame: Frame, told: Told): void {
  const usual = { attempt: 0, retryInS: null, settled: true };
  draft.push({ kind: "notice", key: `notice:${frame.seq}`, runId: str(data, "run_id"), at: frame.at, ...usual, ...told });
}

/** Something of the run came after its notices, so the retry they announced was made. */
function settleNotices(draft: Draft, runId: string): void {
  const last = draft.items.at(-1);
  if (last?.kind !== "notice" || last.settled || last.runId !== runId) return;
  draft.changeRun(runId, (item) => (item.kind === "notice" && !item.settled ? { ...item, settled: true } : item));
}

const messageDelta: Handler = (draft, data, frame) => {
  if (data["folded"] === true) return;
  const [part, text, kind] = [num(data, "part"), str(data, "text"), str(data, "kind")];
  const [runId, messageId] = [str(data, "run_id"), str(data, "message_id")];
  settleNotices(draft, runId);
  const { index, item } = draft.findPart(messageId, part) ?? { index: -1, item: undefined };
  if (kind === "tool_args" && item?.kind === "tool") draft.replaceAt(index, { ...item, rawArgs: item.rawArgs + text });
  else if (kind === "tool_args") {
    const tool = newTool(str(data, "call_id") || `${messageId}:${part}`, str(data, "tool"), runId, messageId, part);
    draft.push({ ...tool, rawArgs: text, startedAt: frame.at });
  } else if (item !== undefined && item.kind !== "tool") {
    draft.replaceAt(index, { ...item, text: item.text + text, endedAt: frame.at });
  } else if (text !== "") draft.push({ ...newText(kind, data, frame, part), text, endedAt: frame.at });
};

/** The finished message decides: its rows are rebuilt from `parts`, keeping what calls already know. */
const messageEnd: Handler = (draft, data, frame) => {
  const messageId = str(data, "message_id");
  const old = new Map<number, Item>();
  let at = -1;
  for (let index = draft.items.length - 1; index >= 0; index--) {
    const item = draft.items[index];
    if (item === undefined || !("messageId" in item) || item.messageId !== messageId) continue;
    old.set(item.part, item);
    draft.splice(index, 1);
    at = index;
  }
  if (draft.facts !== null && data["interrupted"] !== true) {
    draft.facts = { ...draft.facts, steps: draft.facts.steps + 1 };
  }
  const rows = list(data, "parts").flatMap((raw, part) => finishedPart(record(raw), part, old.get(part), data, frame) ?? []);
  draft.splice(at === -1 ? draft.items.length : at, 0, ...rows);
};

function finishedPart(raw: Data, part: number, old: Item | undefined, data: Data, frame: Frame): Item | null {
  const interrupted = data["interrupted"] === true;
  if (str(raw, "kind") === "tool_call") {
    const callId = str(raw, "call_id");
    const base = old?.kind === "tool" ? old : newTool(callId, "", str(data, "run_id"), str(data, "message_id"), part);
    const given = { tool: str(raw, "tool"), args: record(raw["args"]), rawArgs: str(raw, "raw"), argsError: str(raw, "args_error") };
    const state = base.state === "writing" ? (interrupted ? "stopped" : "ready") : base.state;
    return { ...base, key: `call:${callId}`, callId, ...given, state, startedAt: base.startedAt || frame.at };
  }
  const text = str(raw, "text");
  if (text === "") return null;
  const begun = newText(str(raw, "kind"), data, frame, part);
  const base = old?.kind === "text" || old?.kind === "thinking" ? old : begun;
  return { ...base, kind: begun.kind, text, streaming: false, endedAt: base.endedAt || frame.at, interrupted };
}

function changeTool(draft: Draft, callId: string, change: (item: ToolItem) => ToolItem): boolean {
  const found = draft.findTool(callId);
  if (found === null) return false;
  draft.replaceAt(found.index, change(found.item));
  return true;
}

const toolCall: Handler = (draft, data, frame) => {
  const callId = str(data, "call_id");
  const what = { tool: str(data, "tool"), args: record(data["args"]) };
  const started = (item: ToolItem): ToolItem => ({ ...item, ...what, state: "running", startedAt: frame.at });
  if (changeTool(draft, callId, started)) return;
  draft.push(started(newTool(callId, "", str(data, "run_id"), str(data, "message_id"), -1)));
};

const toolResult: Handler = (draft, data) => {
  const detail = record(data["detail"]);
  const denied = list(detail, "denied").filter((reason) => typeof reason === "string");
  changeTool(draft, str(data, "call_id"), (item) => ({
    ...item,
    state: item.state === "denied" ? "denied" : resultState(data["ok"] === true, detail, denied.length > 0),
    deniedReasons: denied.length > 0 ? denied : item.deniedReasons,
    result: str(data, "output"),
    durationMs: num(data, "duration_ms"),
    detail,
  }));
};

function resultState(ok: boolean, detail: Data, denied: boolean): ToolItem["state"] {
  if (ok) return "ok";
  if (denied) return "denied";
  const reason = str(detail, "reason");
  if (reason === "interrupted" || reason === "killed") return "stopped";
  return reason === "unknown" ? "unknown" : "failed";
}

const attentionRequired: Handler = (draft, data, frame) => {
  const runId = str(data, "run_id");
  const attention: Attention = {
    id: str(data, "attention_id"),
    kind: str(data, "kind"),
    question: str(data, "question"),
    options: list(data, "options").map((option) =>
      typeof option === "string" ? option : str(record(option), "label") || str(record(option), "value"),
    ),
    state: "open",
    answer: "",
    actor: "",
    approval: approvalOf(data["approval"]),
  };
  if (attention.kind === "approval_gate" && attention.approval === null) {
    const network = record(data["network"]);
    const to = { host: str(network, "host"), port: num(network, "port") };
    draft.splice(draft.end(), 0, { kind: "gate", key: `gate:${attention.id}`, runId, at: frame.at, ...to, attention });
    if (draft.run(runId)?.state === "running") draft.setRun(runId, { state: "waiting" });
    return;
  }
  changeTool(draft, str(data, "call_id"), (item) => ({ ...item, state: "waiting", attention }));
  draft.setRun(runId, { state: "waiting" });
};

const attentionResolved: Handler = (draft, data) => {
  const id = str(data, "attention_id");
  const withdrawn = data["withdrawn"] === true;
  const answer = data["answer"];
  const text = typeof answer === "string" ? answer : answer === null ? "" : JSON.stringify(answer);
  const index = draft.items.findLastIndex((item) => openQuestion(item)?.id === id);
  const item = draft.items[index];
  if (item !== undefined && "attention" in item && item.attention !== null) {
    const state = withdrawn ? "withdrawn" : "answered";
    const attention: Attention = { ...item.attention, state, answer: text, actor: actorName(data["actor"]) };
    const waiting = item.kind === "tool" && item.state === "waiting";
    const after = { ...item, attention };
    draft.replaceAt(index, waiting ? { ...after, state: withdrawn ? "stopped" : attention.approval ? "ready" : "running" } : after);
  }
  const run = draft.run(str(data, "run_id"));
  const waits = (other: Item): boolean => "runId" in other && other.runId === run?.id && openQuestion(other) !== null;
  if (run?.state === "waiting" && !draft.items.some(waits)) draft.setRun(run.id, { state: "running" });
};

/** A resumed run has come back to a question that is still open. */
function waitAgain(draft: Draft): void {
  for (const [, sub] of draft.openSubs()) waitAgain(sub);
  const run = draft.runId === null ? undefined : draft.run(draft.runId);
  if (run?.state !== "running" || !draft.items.some((item) => openQuestion(item) !== null)) return;
  draft.setRun(run.id, { state: "waiting" });
  draft.changeRun(run.id, (item) =>
    item.kind === "tool" && item.attention?.state === "open" ? { ...item, state: "waiting" } : item,
  );
}

/** Ends what still looked alive in a run: streaming text, and calls except those for which `keep` holds. */
function quiet(draft: Draft, runId: string, end: "stopped" | "unknown", keep: (item: ToolItem) => boolean): void {
  draft.changeRun(runId, (item) => {
    if (item.kind === "text" || item.kind === "thinking") {
      return item.streaming ? { ...item, streaming: false, interrupted: true } : item;
    }
    if (item.kind === "notice") return item.settled ? item : { ...item, settled: true };
    if (item.kind !== "tool" || !["writing", "ready", "running", "waiting"].includes(item.state)) return item;
    return keep(item) ? item : { ...item, state: end };
  });
}

const agentSpawned: Handler = (draft, data, frame) => {
  const runId = str(data, "run_id");
  const facts = {
    runId, parentRun: str(data, "parent_run"), callId: str(data, "call_id"),
    name: str(data, "agent").split(".subagents.").at(-1) ?? "", task: str(data, "task"), budget: num(data, "budget"),
    steps: 0,
  };
  draft.sub(runId, { ...EMPTY, facts, runId }).setRun(runId, startOf(data, frame));
};

/** The beginning of a run, of the agent or of one below it. */
function startOf(data: Data, frame: Frame): Partial<Run> {
  const cage = str(data, "cage") || str(record(data["cage"]), "words");
  return { state: "running", model: str(data, "model"), provider: str(data, "provider"), cage, startedAt: frame.at };
}

/** The end of a run as its events tell it, whichever of them does. */
function endOf(data: Data, frame: Frame): Partial<Run> {
  const outcome = str(data, "outcome");
  return {
    state: outcome === "success" || outcome === "cancelled" ? outcome : "failed",
    endedAt: frame.at,
    reason: str(data, "reason"),
    actor: actorName(data["actor"]),
    stopped: names(list(data, "stopped")),
    stillRunning: [],
  };
}

const finished: Handler = (draft, data, frame) => {
  const runId = str(data, "run_id");
  quiet(draft, runId, "stopped", () => false);
  draft.setRun(runId, endOf(data, frame));
};

const runEnded: Handler = (draft, data, frame) => {
  finished(draft, data, frame);
  const last = draft.items.at(-1);
  // A failure is told once: the end says the same as the error before it.
  if (last?.kind === "notice" && last.message === str(data, "reason")) draft.splice(draft.items.length - 1, 1);
  draft.push({ kind: "end", key: `end:${frame.seq}`, runId: str(data, "run_id"), at: frame.at });
};

const runInterrupted: Handler = (draft, data, frame) => {
  const runId = str(data, "run_id");
  const running = list(data, "running");
  const alive = new Set(running.map((entry) => (typeof entry === "string" ? entry : str(record(entry), "call_id"))));
  const commands: string[] = [];
  const keep = (item: ToolItem): boolean => {
    const lives = alive.has(item.callId) || alive.has(str(item.args, "command"));
    if (lives && item.state === "running") commands.unshift(str(item.args, "command") || item.tool);
    const delegated = item.tool === "delegate" && item.state === "running"; // the sub-agent says how it stands
    return (lives && item.state === "running") || item.state === "waiting" || delegated;
  };
  quiet(draft, runId, "unknown", keep);
  for (const [id, sub] of draft.openSubs()) {
    quiet(sub, id, "unknown", keep);
    sub.setRun(id, { state: "interrupted" });
  }
  draft.setRun(runId, {
    state: "interrupted", endedAt: frame.at, reason: str(data, "reason"),
    stillRunning: commands.length > 0 ? commands : names(running),
  });
  const message = `${str(data, "reason")} ${t("words:goesOn")}`;
  if (data["goes_on"] === true) notice(draft, data, frame, { code: "interrupted", message });
};

function waitingOf(raw: readonly unknown[]): Waiting[] {
  return raw.map(record).map((item) => ({
    id: str(item, "id"),
    text: str(item, "text"),
    mode: item["mode"] === "steer" ? "steer" : "queue",
    actor: actorName(item["actor"]),
    at: str(item, "at"),
    attachments: list(item, "attachments").filter((name) => typeof name === "string"),
  }));
}

/** A newer version of kaged wrote it: it is there, and this page cannot show it. */
const unknownType: Handler = (draft, data, frame) =>
  notice(draft, data, frame, { code: "unknown_type", message: t("words:unknownType", { type: frame.type }) });

/** What comes after it begins at the call that it was made before; the rows of that message are there already. */
const checkpointCreated: Handler = (draft, data, frame) => {
  const index = draft.findTool(str(data, "call_id"))?.index ?? draft.items.length;
  const about = { at: frame.at, name: str(data, "name"), auto: str(data, "auto"), files: num(data, "files_changed") };
  draft.marks = { ...draft.marks, [str(data, "checkpoint_id")]: { index, away: draft.away, ...about } };
};

const checkpointRestored: Handler = (draft, data, frame) => {
  const what = data["what"] === "files" || data["what"] === "conversation" ? data["what"] : "both";
  const mark = draft.marks[str(data, "checkpoint_id")];
  if (what !== "files" && mark !== undefined) {
    draft.away = new Set([...mark.away, ...draft.items.slice(mark.index).map((item) => item.key)]);
  }
  const about = { files: num(data, "files_changed"), undo: str(data, "undo"), actor: actorName(data["actor"]) };
  draft.push({ kind: "restored", key: `restored:${frame.seq}`, at: frame.at, what, ...about });
};

const HANDLERS: Readonly<Record<string, Handler>> = {
  "session.created": (draft, data) => void (draft.title = str(data, "title")),
  "session.updated": (draft, data) => {
    if (typeof data["title"] === "string") draft.title = data["title"];
    if (data["state"] === "waiting") waitAgain(draft);
    if (data["state"] === "queued" || data["state"] === "idle") draft.queued = data["state"] === "queued";
    if (Array.isArray(data["queue"])) draft.queue = waitingOf(list(data, "queue"));
    if (draft.queue.length === 0) draft.queued = false;
  },
  "session.archived": (draft) => void (draft.archived = true),
  "message.user": (draft, data, frame) => {
    const key = `user:${str(data, "message_id") || frame.seq}`;
    const steered = str(data, "run_id") !== "";
    const attachments = list(data, "attachments").map(record).map((file) => ({ name: str(file, "name"), type: str(file, "type"), data: str(file, "data") }));
    draft.push({ kind: "user", key, at: frame.at, text: str(data, "text"), actor: actorName(data["actor"]), attachments, steered });
  },
  "run.started": (draft, data, frame) => {
    const runId = str(data, "run_id");
    draft.queued = false;
    draft.setRun(runId, { ...startOf(data, frame), instructions: names(list(data, "instructions")) });
    draft.runId = runId;
  },
  "message.start": (draft, data) => settleNotices(draft, str(data, "run_id")),
  "message.delta": messageDelta,
  "message.end": messageEnd,
  "tool.call": toolCall,
  "tool.approved": () => {}, // the call's own question says so already
  "tool.denied": (draft, data) => {
    const denied = { state: "denied", deniedReasons: [str(data, "reason")] } as const;
    changeTool(draft, str(data, "call_id"), (item) => ({ ...item, ...denied }));
  },
  "tool.output": (draft, data) => {
    // Output of a call that was given up for lost says that it lives.
    changeTool(draft, str(data, "call_id"), (item) => ({
      ...withOutput(item, str(data, "text")),
      outputBytes: Math.max(item.outputBytes, num(data, "end")),
      state: item.state === "unknown" || item.state === "ready" ? "running" : item.state,
    }));
  },
  "tool.result": toolResult,
  "network.allowed": networkDecided,
  "network.denied": networkDecided,
  "checkpoint.created": checkpointCreated,
  "checkpoint.restored": checkpointRestored,
  "attention.required": attentionRequired,
  "attention.resolved": attentionResolved,
  "usage.recorded": (draft, data) => {
    for (let at: Draft | null = draft; at !== null; at = at.above) {
      at.usage = addUsage(at.usage, data);
      const above = at.run(at.runId ?? "");
      if (above !== undefined) at.setRun(above.id, { whole: addUsage(above.whole, data) });
    }
    const { input, output, cacheRead, cacheWrite } = addUsage(NO_USAGE, data);
    draft.context = input + output + cacheRead + cacheWrite;
    const run = draft.run(str(data, "run_id"));
    if (run !== undefined) draft.setRun(run.id, { usage: addUsage(run.usage, data) });
  },
  "agent.spawned": agentSpawned,
  "agent.finished": finished,
  "run.ended": runEnded,
  "run.interrupted": runInterrupted,
  "run.recovered": (draft, data) => {
    for (const [id, sub] of draft.openSubs()) sub.setRun(id, { state: "running" });
    draft.setRun(str(data, "run_id"), { state: "running", endedAt: "", reason: "", stillRunning: [] });
    draft.runId = str(data, "run_id");
  },
  error: (draft, data, frame) => {
    const retryInS = typeof data["retry_in_s"] === "number" ? data["retry_in_s"] : null;
    const [code, message, attempt] = [str(data, "code"), str(data, "message"), num(data, "attempt")];
    notice(draft, data, frame, { code, message, attempt, retryInS, settled: false });
  },
};
