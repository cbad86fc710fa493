import type { Waiting } from "../api/types.ts";
import type { Approval } from "./approval.ts";
import type { Frame } from "./events.ts";

/** What a session looks like after its events: a flat list of rows, plus runs and totals. */

export type CallState =
  "writing" | "ready" | "running" | "waiting" | "ok" | "failed" | "denied" | "stopped" | "unknown";

export interface Attention {
  id: string; kind: string; question: string; options: string[]; state: "open" | "answered" | "withdrawn";
  answer: string; actor: string;
  /** The call that waits; null for a question and for a connection. */
  approval: Approval | null;
}

interface Row {
  key: string;
  /** The number of the event that it began with. */
  seq?: number;
}

interface OfRun extends Row {
  runId: string;
}

interface OfMessage extends OfRun {
  messageId: string; part: number;
}

export interface ToolItem extends OfMessage {
  kind: "tool"; callId: string; tool: string; args: Record<string, unknown>;
  /** Arguments as they stream in, before they are whole. */
  rawArgs: string;
  argsError: string; state: CallState; startedAt: string; durationMs: number | null;
  /** Live output; only the tail is kept, `outputCut` counts what went. */
  output: string;
  outputCut: number;
  /** Bytes of output so far; more than what was sent along when there is a lot. */
  outputBytes: number;
  /** What the model was given. */
  result: string;
  detail: Record<string, unknown>;
  /** Whose rule refused it, in sentences. */
  deniedReasons: readonly string[];
  attention: Attention | null;
  /** What the cage reached or tried while it ran. */
  network: readonly Reached[];
}

/** One host and port with what the network gate decided about it; without a host it is the rest of a flood. */
export interface Reached {
  host: string;
  /** 0 when only the name was asked for. */
  port: number;
  connections: number; denied: number; up: number; down: number;
  /** The newest of them; what opened stands here until its end takes its place. */
  decisions: readonly Frame[];
}

/** What the cage reached or tried while no command of the agent ran. */
export interface NetworkItem extends OfRun {
  kind: "network"; network: readonly Reached[];
}

/** The network gate asks whether the cage may connect to a host. */
export interface GateItem extends OfRun {
  kind: "gate"; at: string; host: string; port: number; attention: Attention;
}

/** A file that came with a message: the text of `text/plain`, else an image in base64. */
export interface Attachment {
  name: string; type: string; data: string;
}

export interface UserItem extends Row {
  kind: "user"; at: string; text: string; actor: string; attachments: readonly Attachment[];
  /** Said to a run that was going. */
  steered: boolean;
}

export interface TextItem extends OfMessage {
  kind: "text" | "thinking"; at: string; endedAt: string; text: string; streaming: boolean; interrupted: boolean;
}

export interface NoticeItem extends OfRun {
  kind: "notice"; at: string; code: string; message: string; attempt: number; retryInS: number | null;
  /** Something came after it: the retry was made. */
  settled: boolean;
}

export interface EndItem extends OfRun {
  kind: "end"; at: string;
}

/** A checkpoint was restored; `undo` is the one that was made just before. */
export interface RestoredItem extends Row {
  kind: "restored"; at: string; what: "both" | "conversation" | "files"; files: number; undo: string; actor: string;
}

export type Item = UserItem | TextItem | ToolItem | NoticeItem | EndItem | NetworkItem | GateItem | RestoredItem;

/** A checkpoint's place: where the rows after it begin, and which before it were rolled back then. */
export interface Mark {
  index: number; away: ReadonlySet<string>; at: string;
  /** Empty for one that kaged made, which `auto` says the occasion of. */
  name: string;
  auto: string;
  /** Files changed since the one before. */
  files: number;
}

export interface Usage {
  input: number; output: number; cacheRead: number; cacheWrite: number;
  /** US dollars by list price; calls without one are not in it. */
  cost: number;
  estimated: boolean;
}

export type RunState = "running" | "waiting" | "interrupted" | "success" | "failed" | "cancelled";

export interface Run {
  id: string; state: RunState; model: string; provider: string; cage: string; startedAt: string; endedAt: string;
  reason: string; actor: string;
  /** What an interrupt stopped. */
  stopped: string[];
  /** Commands that went on while the daemon was away. */
  stillRunning: string[];
  /** Files of the project that were read as instructions. */
  instructions: string[];
  usage: Usage;
  /** With that of all sub-agents below it. */
  whole: Usage;
}

/** What is known of a sub-agent beside its own transcript. */
export interface AgentFacts {
  runId: string; parentRun: string;
  /** The call of `delegate` that it works for. */
  callId: string;
  name: string; task: string;
  /** Tokens that it may use, those below it included. */
  budget: number;
  /** Its own model calls. */
  steps: number;
}

export interface Transcript {
  /** Messages that wait, in their order. */
  queue: readonly Waiting[];
  /** Whether the session waits for a free place among the runs at work. */
  queued: boolean;
  /** Number of the last event folded in. */
  seq: number;
  title: string; archived: boolean; items: readonly Item[]; runs: Readonly<Record<string, Run>>;
  /** The newest run. */
  runId: string | null;
  usage: Usage;
  /** Tokens that the newest model call was given and gave: how full the model's context is. */
  context: number;
  /** Connections that last, by number: the key of the row that shows each. */
  open: Readonly<Record<string, string>>;
  /** Checkpoints by id. */
  marks: Readonly<Record<string, Mark>>;
  /** Keys of the rows that are rolled back: the agent knows nothing of them. */
  away: ReadonlySet<string>;
  /** The sub-agents of all depths by their run, each with a transcript of its own; its `usage` counts those below. */
  agents: Readonly<Record<string, Transcript>>;
  /** Of a sub-agent's transcript. */
  facts: AgentFacts | null;
}

export const NO_USAGE: Usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, cost: 0, estimated: false };

export const EMPTY: Transcript = {
  seq: 0, title: "", archived: false, items: [], runs: {}, runId: null, usage: NO_USAGE, context: 0, open: {},
  queue: [], queued: false, marks: {}, away: new Set(), agents: {}, facts: null,
};

/** The newest run; it waits as long as one of its sub-agents does. */
export function currentRun(transcript: Transcript): Run | null {
  const run = transcript.runId === null ? undefined : transcript.runs[transcript.runId];
  const waits = run?.state === "running" && Object.values(transcript.agents).some(isWaiting);
  return run === undefined ? null : waits ? { ...run, state: "waiting" } : run;
}

function isWaiting(transcript: Transcript): boolean {
  return currentRun(transcript)?.state === "waiting";
}

/** Whether a sub-agent, or one below it, has a question. */
export function asks(agents: Transcript["agents"], agent: Transcript): boolean {
  const below = (other: Transcript): boolean => other.facts?.parentRun === agent.runId && asks(agents, other);
  return isWaiting(agent) || Object.values(agents).some(below);
}

/** The sub-agent that works for a call of `delegate`. */
export function agentOf(agents: Transcript["agents"], callId: string): Transcript | undefined {
  return Object.values(agents).find((agent) => agent.facts?.callId === callId);
}

/** The question that a row waits with, if it is still to be answered. */
export function openQuestion(item: Item): Attention | null {
  const attention = item.kind === "tool" || item.kind === "gate" ? item.attention : null;
  return attention?.state === "open" ? attention : null;
}

export function isActive(run: Run | null): boolean {
  return run?.state === "running" || run?.state === "waiting";
}
