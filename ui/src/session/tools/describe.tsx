import type { ReactNode } from "react";
import {
  AgentIcon, EditIcon, FindIcon, QuestionIcon, ReadIcon, SearchIcon, TerminalIcon, ToolIcon, WriteIcon,
} from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import { str } from "../../journal/events.ts";
import type { ToolItem } from "../../journal/model.ts";
import { partialObject } from "../../journal/partial.ts";
import { withinProject } from "../../text/paths.ts";

export interface Described {
  icon: ReactNode; verb: string;
  /** The main argument, in code type. */
  object: string;
  /** The other arguments, by name. */
  rest: [string, string][];
}

interface Kind {
  icon: typeof ToolIcon; verb?: "read" | "write" | "edit" | "search" | "find" | "delegate" | "question" | "checkpoint";
  main: string;
  /** Arguments that the body shows in its own way. */
  shown?: readonly string[];
}

const KINDS: Readonly<Record<string, Kind>> = {
  shell: { icon: TerminalIcon, main: "command" },
  "file.read": { icon: ReadIcon, verb: "read", main: "path" },
  "file.write": { icon: WriteIcon, verb: "write", main: "path", shown: ["content"] },
  "file.edit": { icon: EditIcon, verb: "edit", main: "path", shown: ["old_string", "new_string"] },
  "search.grep": { icon: SearchIcon, verb: "search", main: "pattern" },
  "search.find": { icon: FindIcon, verb: "find", main: "pattern" },
  delegate: { icon: AgentIcon, verb: "delegate", main: "agent" },
  ask: { icon: QuestionIcon, verb: "question", main: "question", shown: ["options"] },
  checkpoint: { icon: QuestionIcon, verb: "checkpoint", main: "title", shown: ["summary"] },
};

/** Whether the point of a call is what the operator says. */
export function asks(item: ToolItem): boolean {
  return item.tool === "ask" || item.tool === "checkpoint";
}

/** The arguments as far as they are known: whole, or as far as they have streamed in. */
export function argsOf(item: ToolItem): Record<string, unknown> {
  return item.state === "writing" ? partialObject(item.rawArgs) : item.args;
}

export function describe(item: ToolItem, root: string): Described {
  const args = argsOf(item);
  const known = KINDS[item.tool];
  const { icon: Icon, main, shown = [] }: Kind = known ?? { icon: ToolIcon, main: "" };
  const rest = Object.entries(args)
    .filter(([name, value]) => name !== main && !shown.includes(name) && value !== null)
    .map(([name, value]): [string, string] => [name, typeof value === "string" ? value : JSON.stringify(value)]);
  const named = known?.verb === undefined ? "" : t(`tools:verb.${known.verb}`);
  const verb = known === undefined ? item.tool || t("tools:verb.tool") : named;
  const object = item.tool.startsWith("file.") ? withinProject(str(args, main), root) : str(args, main);
  return { icon: <Icon size={15} aria-hidden />, verb, object, rest };
}
