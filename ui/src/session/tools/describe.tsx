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
  verb: string;
  main: string;
  /** Arguments that the body shows in its own way. */
  shown: readonly string[];
}

const KINDS: Readonly<Record<string, Kind>> = {
  shell: { icon: TerminalIcon, verb: "", main: "command", shown: [] },
  "file.read": { icon: ReadIcon, verb: "Read", main: "path", shown: [] },
  "file.write": { icon: WriteIcon, verb: "Write", main: "path", shown: ["content"] },
  "file.edit": { icon: EditIcon, verb: "Edit", main: "path", shown: ["old_string", "new_string"] },
  "search.grep": { icon: SearchIcon, verb: "Search", main: "pattern", shown: [] },
  "search.find": { icon: FindIcon, verb: "Find", main: "pattern", shown: [] },
  delegate: { icon: AgentIcon, verb: "Delegate to", main: "agent", shown: [] },
  ask: { icon: QuestionIcon, verb: "Question", main: "question", shown: ["options"] },
  checkpoint: { icon: QuestionIcon, verb: "Checkpoint", main: "title", shown: ["summary"] },
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
  const kind = KINDS[item.tool] ?? { icon: ToolIcon, verb: item.tool || "Tool", main: "", shown: [] };
  const Icon = kind.icon;
  const rest = Object.entries(args)
    .filter(([name, value]) => name !== kind.main && !kind.shown.includes(name) && value !== null)
    .map(([name, value]): [string, string] => [name, typeof value === "string" ? value : JSON.stringify(value)]);
  const object = str(args, kind.main);
  return {
    icon: <Icon size={15} aria-hidden />,
    verb: kind.verb,
    object: item.tool.startsWith("file.") ? withinProject(object, root) : object,
    rest,
  };
}
