import { decodeEntities } from "./entities.ts";

export interface Span {
  className: string; text: string;
}

/**
 * The highlighter's output (`<span class="…">`, `</span>` and text, nothing else) as flat spans, so that it is
 * never handed to the HTML parser. Anything that looks different stays text.
 */
export function spansOf(html: string): Span[] {
  const spans: Span[] = [];
  const open: string[] = [];
  for (const piece of html.split(/(<span class="[\w\s-]*">|<\/span>)/)) {
    if (piece === "") continue;
    const start = /^<span class="([\w\s-]*)">$/.exec(piece);
    if (start !== null) open.push(start[1] ?? "");
    else if (piece === "</span>") open.pop();
    else spans.push({ className: open.at(-1) ?? "", text: decodeEntities(piece) });
  }
  return spans;
}

/** What the highlighter may know a file's language by: its ending, or nothing. */
export function languageOf(path: string): string {
  return /\.([A-Za-z0-9]+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
}
