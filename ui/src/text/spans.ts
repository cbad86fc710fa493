import { decodeEntities } from "./entities.ts";

export interface Span {
  className: string;
  text: string;
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

const BY_EXTENSION: Readonly<Record<string, string>> = {
  py: "python",
  js: "javascript",
  mjs: "javascript",
  jsx: "javascript",
  ts: "typescript",
  tsx: "typescript",
  json: "json",
  yaml: "yaml",
  yml: "yaml",
  toml: "ini",
  ini: "ini",
  cfg: "ini",
  sh: "bash",
  bash: "bash",
  html: "xml",
  xml: "xml",
  svg: "xml",
  css: "css",
  go: "go",
  rs: "rust",
  sql: "sql",
};

/** The highlighter's name for a file's language, by its ending; empty when there is none. */
export function languageOf(path: string): string {
  const ending = /\.([A-Za-z0-9]+)$/.exec(path)?.[1] ?? "";
  return BY_EXTENSION[ending.toLowerCase()] ?? "";
}
