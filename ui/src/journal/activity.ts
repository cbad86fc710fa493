import { agentOf, asks, currentRun, EMPTY, type Item, type NoticeItem, openQuestion, type ToolItem, type Transcript } from "./model.ts";
import { t } from "../i18n/index.ts";
import { str } from "./events.ts";

/** What the session is doing now, in words: a verb for everyone, an object in code type where there is one. */
export interface Activity {
  verb: string;
  object: string;
  /** When it began; ISO time or empty. */
  since: string;
}

/** The tools that have words of their own, with the argument that is named. */
const ARGUMENT: Readonly<Record<string, string>> = {
  shell: "command",
  "file.read": "path",
  "file.write": "path",
  "file.edit": "path",
  "search.grep": "pattern",
  "search.find": "pattern",
};

function toolVerb(tool: string): string {
  switch (tool) {
    case "shell":
      return t("words:running");
    case "file.read":
      return t("words:reading");
    case "file.write":
      return t("words:writing");
    case "file.edit":
      return t("words:editing");
    case "search.grep":
      return t("words:searching");
    default:
      return t("words:looking");
  }
}

function writingVerb(tool: string): string {
  switch (tool) {
    case "shell":
      return t("words:writingCommand");
    case "file.write":
      return t("words:writingFile");
    case "file.edit":
      return t("words:writingEdit");
    case "ask":
    case "checkpoint":
      return t("words:writingQuestion");
    default:
      return t("words:preparing");
  }
}

function ofTool(item: ToolItem): Activity | null {
  if (item.state === "waiting") return { verb: item.attention?.approval ? t("words:waitingApproval") : t("words:waitingAnswer"), object: "", since: item.startedAt };
  if (item.state === "writing") {
    return { verb: writingVerb(item.tool), object: "", since: item.startedAt };
  }
  if (item.state !== "running") return null;
  const argument = ARGUMENT[item.tool];
  if (argument === undefined) return { verb: t("words:using"), object: item.tool, since: item.startedAt };
  const object = str(item.args, argument).split("\n", 1)[0] ?? "";
  return { verb: toolVerb(item.tool), object, since: item.startedAt };
}

function ofNotice(item: NoticeItem): Activity | null {
  if (item.settled) return null;
  const verb = item.retryInS === null ? item.message : t("words:retrying");
  return { verb, object: "", since: item.at };
}

function ofItem(item: Item): Activity | null {
  switch (item.kind) {
    case "tool":
      return ofTool(item);
    case "notice":
      return ofNotice(item);
    case "gate":
      return openQuestion(item) && { verb: t("words:waitingDecision"), object: item.host, since: item.at };
    case "text":
      return item.streaming ? { verb: t("words:answering"), object: "", since: item.at } : null;
    case "thinking":
      return item.streaming ? { verb: t("words:thinking"), object: "", since: item.at } : null;
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
    const verb = run.state === "waiting" ? t("words:agentWaits") : t("words:waitingFor");
    const waiting = team.filter(({ callId }) => asks(transcript.agents, agentOf(transcript.agents, callId) ?? EMPTY));
    const object = (waiting.length > 0 ? waiting : team).map((item) => str(item.args, "agent")).join(", ");
    return { verb, object, since: team[0]?.startedAt ?? "" };
  }
  return {
    verb: t("words:waitingModel"),
    object: "",
    since: transcript.items.at(-1)?.kind === "user" ? run.startedAt : "",
  };
}
