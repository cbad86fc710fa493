import type { ReactNode } from "react";
import {
  AgentIcon,
  EditIcon,
  FindIcon,
  QuestionIcon,
  ReadIcon,
  SearchIcon,
  TerminalIcon,
  ToolIcon,
  WriteIcon,
} from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import { str } from "../../journal/events.ts";
import type { ToolItem } from "../../journal/model.ts";
import { partialObject } from "../../journal/partial.ts";
import { withinProject } from "../../text/paths.ts";

export interface Described {
  icon: ReactNode;
  verb: string;
  /** The main argument, in code type. */
  object: string;
  /** The other arguments, by name. */
  rest: [string, string][];
}

interface Kind {
  icon: typeof ToolIcon;
  /** Whether it goes without a verb. */
  bare?: boolean;
  main: string;
  /** Arguments that the body shows in its own way. */
  shown: readonly string[];
}

const KINDS: Readonly<Record<string, Kind>> = {
  shell: { icon: TerminalIcon, bare: true, main: "command", shown: [] },
  "file.read": { icon: ReadIcon, main: "path", shown: [] },
  "file.write": { icon: WriteIcon, main: "path", shown: ["content"] },
  "file.edit": { icon: EditIcon, main: "path", shown: ["old_string", "new_string"] },
  "search.grep": { icon: SearchIcon, main: "pattern", shown: [] },
  "search.find": { icon: FindIcon, main: "pattern", shown: [] },
  delegate: { icon: AgentIcon, main: "agent", shown: [] },
  ask: { icon: QuestionIcon, main: "question", shown: ["options"] },
  checkpoint: { icon: QuestionIcon, main: "title", shown: ["summary"] },
};

/** Whether the point of a call is what the operator says. */
export function asks(item: ToolItem): boolean {
  return item.tool === "ask" || item.tool === "checkpoint";
}

/** The arguments as far as they are known: whole, or as far as they have streamed in. */
export function argsOf(item: ToolItem): Record<string, unknown> {
  return item.state === "writing" ? partialObject(item.rawArgs) : item.args;
}

function verbOf(tool: string): string {
  switch (tool) {
    case "file.read":
      return t("tools:verb.read");
    case "file.write":
      return t("tools:verb.write");
    case "file.edit":
      return t("tools:verb.edit");
    case "search.grep":
      return t("tools:verb.search");
    case "search.find":
      return t("tools:verb.find");
    case "delegate":
      return t("tools:verb.delegate");
    case "ask":
      return t("tools:verb.question");
    case "checkpoint":
      return t("tools:verb.checkpoint");
    default:
      return tool || t("tools:verb.tool");
  }
}

export function describe(item: ToolItem, root: string): Described {
  const args = argsOf(item);
  const kind: Kind = KINDS[item.tool] ?? { icon: ToolIcon, main: "", shown: [] };
  const Icon = kind.icon;
  const rest = Object.entries(args)
    .filter(([name, value]) => name !== kind.main && !kind.shown.includes(name) && value !== null)
    .map(([name, value]): [string, string] => [name, typeof value === "string" ? value : JSON.stringify(value)]);
  const object = str(args, kind.main);
  return {
    icon: <Icon size={15} aria-hidden />,
    verb: kind.bare ? "" : verbOf(item.tool),
    object: item.tool.startsWith("file.") ? withinProject(object, root) : object,
    rest,
  };
}
