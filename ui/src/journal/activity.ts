import { agentOf, asks, currentRun, EMPTY, type Item, openQuestion, type ToolItem, type Transcript } from "./model.ts";
import { t } from "../i18n/index.ts";
import { str } from "./events.ts";

/** What the session is doing now, in words: a verb for everyone, an object in code type where there is one. */
export interface Activity {
  verb: string; object: string;
  /** When it began; ISO time or empty. */
  since: string;
}

/** What is said of a tool while it works, what while its arguments come, and the argument that is named. */
const TOOLS = {
  shell: ["words:running", "words:writingCommand", "command"],
  "file.read": ["words:reading", "words:preparing", "path"],
  "file.write": ["words:writing", "words:writingFile", "path"],
  "file.edit": ["words:editing", "words:writingEdit", "path"],
  "search.grep": ["words:searching", "words:preparing", "pattern"],
  "search.find": ["words:looking", "words:preparing", "pattern"],
  ask: ["words:using", "words:writingQuestion", ""],
  checkpoint: ["words:using", "words:writingQuestion", ""],
} as const;

const told = (verb: string, since: string, object = ""): Activity => ({ verb, object, since });

function ofTool({ tool, state, startedAt, attention, args }: ToolItem): Activity | null {
  const [working, coming, argument] = TOOLS[tool as keyof typeof TOOLS] ?? ["words:using", "words:preparing", ""];
  if (state === "waiting") return told(t(attention?.approval ? "words:waitingApproval" : "words:waitingAnswer"), startedAt);
  if (state === "writing") return told(t(coming), startedAt);
  if (state !== "running") return null;
  return told(t(working), startedAt, argument === "" ? tool : str(args, argument).split("\n", 1)[0]);
}

function ofItem(item: Item): Activity | null {
  switch (item.kind) {
    case "tool":
      return ofTool(item);
    case "notice":
      return item.settled ? null : told(item.retryInS === null ? item.message : t("words:retrying"), item.at);
    case "gate":
      return openQuestion(item) && told(t("words:waitingDecision"), item.at, item.host);
    case "text":
    case "thinking":
      return item.streaming ? told(t(item.kind === "text" ? "words:answering" : "words:thinking"), item.at) : null;
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
    const waiting = team.filter(({ callId }) => asks(transcript.agents, agentOf(transcript.agents, callId) ?? EMPTY));
    const object = (waiting.length > 0 ? waiting : team).map((item) => str(item.args, "agent")).join(", ");
    return told(t(run.state === "waiting" ? "words:agentWaits" : "words:waitingFor"), team[0]?.startedAt ?? "", object);
  }
  return told(t("words:waitingModel"), transcript.items.at(-1)?.kind === "user" ? run.startedAt : "");
}
