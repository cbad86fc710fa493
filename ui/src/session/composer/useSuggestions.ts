import { useEffect, useState } from "react";
import { api } from "../../api/client.ts";
import type { FoundFile } from "../../api/types.ts";
import { type Command, wordAt } from "./line.ts";

export interface Suggestion {
  key: string; label: string; words: string;
  /** The text with it taken, and where the caret goes; null for a command that is run at once. */
  taken: { text: string; caret: number } | null;
  command: Command | null;
}

const SOON_MS = 120;

/** What could be meant by the word before the caret. */
export function useSuggestions(project: string, text: string, caret: number, commands: readonly Command[]): Suggestion[] {
  const at = wordAt(text, caret);
  const [files, setFiles] = useState<{ word: string; items: FoundFile[] }>({ word: "", items: [] });
  const wanted = at?.kind === "file" ? at.word : null;
  useEffect(() => {
    if (wanted === null) return undefined;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      // Without an answer the name is typed by hand, as ever.
      api.findFiles(project, wanted, stop.signal).then(({ items }) => setFiles({ word: wanted, items }), () => setFiles({ word: wanted, items: [] }));
    }, SOON_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [project, wanted]);
  if (at === null) return [];
  const put = (word: string): { text: string; caret: number } => {
    const head = `${text.slice(0, at.from)}${word} `;
    return { text: head + text.slice(caret).replace(/^ /, ""), caret: head.length };
  };
  if (at.kind === "command") {
    return commands
      .filter(({ name }) => name.startsWith(at.word))
      .map((command) => ({
        key: command.name,
        label: `/${command.name}${command.argument === undefined ? "" : ` ${command.argument}`}`,
        words: command.words,
        taken: command.argument === undefined ? null : put(`/${command.name}`),
        command,
      }));
  }
  return files.items.map(({ path, kind }) => ({ key: path, label: path, words: kind === "file" ? "" : kind, taken: put(`@${path}`), command: null }));
}
