import { agentOf, asks, currentRun, EMPTY, type Item, type NoticeItem, openQuestion, type ToolItem, type Transcript } from "./model.ts";
import { str } from "./events.ts";

/** What the session is doing now, in words: a verb for everyone, an object in code type where there is one. */
export interface Activity {
  verb: string;
  object: string;
  /** When it began; ISO time or empty. */
  since: string;
}

const TOOL_WORDS: Readonly<Record<string, { verb: string; argument: string }>> = {
  shell: { verb: "Running", argument: "command" },
  "file.read": { verb: "Reading", argument: "path" },
  "file.write": { verb: "Writing", argument: "path" },
  "file.edit": { verb: "Editing", argument: "path" },
  "search.grep": { verb: "Searching for", argument: "pattern" },
  "search.find": { verb: "Looking for", argument: "pattern" },
};

const WRITING_WORDS: Readonly<Record<string, string>> = {
  shell: "Writing a command",
  "file.write": "Writing a file",
  "file.edit": "Writing an edit",
  ask: "Writing a question",
  checkpoint: "Writing a question",
};

function ofTool(item: ToolItem): Activity | null {
  if (item.state === "waiting") return { verb: item.attention?.approval ? "Waiting for your approval" : "Waiting for your answer", object: "", since: item.startedAt };
  if (item.state === "writing") {
    return { verb: WRITING_WORDS[item.tool] ?? "Preparing a tool call", object: "", since: item.startedAt };
  }
  if (item.state !== "running") return null;
  const words = TOOL_WORDS[item.tool];
  if (words === undefined) return { verb: "Using", object: item.tool, since: item.startedAt };
  const object = str(item.args, words.argument).split("\n", 1)[0] ?? "";
  return { verb: words.verb, object, since: item.startedAt };
}

function ofNotice(item: NoticeItem): Activity | null {
  if (item.settled) return null;
  const verb = item.retryInS === null ? item.message : "Waiting to try the model again";
  return { verb, object: "", since: item.at };
}

function ofItem(item: Item): Activity | null {
  switch (item.kind) {
    case "tool":
      return ofTool(item);
    case "notice":
      return ofNotice(item);
    case "gate":
      return openQuestion(item) && { verb: "Waiting for your decision", object: item.host, since: item.at };
    case "text":
      return item.streaming ? { verb: "Answering", object: "", since: item.at } : null;
    case "thinking":
      return item.streaming ? { verb: "Thinking", object: "", since: item.at } : null;
    default:
      return null;
  }
}

/** Null when nothing is going on. */
export function activity(transcript: Transcript): Activity | null {
  const run = currentRun(transcript);
  if (run === null || (run.state !== "running" && run.state !== "waiting")) return null;
  const team: ToolItem[] = [];
  for (let index = transcript.items.length - 1; index >= 0; index--) {
    const item = transcript.items[index];
    if (item === undefined || item.kind === "user") break;
    if (item.kind === "tool" && item.tool === "delegate" && item.state === "running") {
      team.unshift(item);
      continue;
    }
    const found = ofItem(item);
    if (found !== null) return found;
  }
  if (team.length > 0) {
    const verb = run.state === "waiting" ? "A sub-agent waits for you:" : "Waiting for";
    const waiting = team.filter(({ callId }) => asks(transcript.agents, agentOf(transcript.agents, callId) ?? EMPTY));
    const object = (waiting.length > 0 ? waiting : team).map((item) => str(item.args, "agent")).join(", ");
    return { verb, object, since: team[0]?.startedAt ?? "" };
  }
  return {
    verb: "Waiting for the model",
    object: "",
    since: transcript.items.at(-1)?.kind === "user" ? run.startedAt : "",
  };
}
