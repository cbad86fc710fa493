import { Marked, type Token, type TokenizerExtension } from "marked";

/** `$x$` and `\(x\)` in a line, `$$…$$` and `\[…\]` as blocks. Money stays money: `$5 and $6` is no formula. */
const inline: TokenizerExtension = {
  name: "math",
  level: "inline",
  start: (src) => src.match(/\$|\\\(/)?.index,
  tokenizer: (src) => {
    const match = /^\$(?![\s$])((?:\\[^\n]|[^\\$\n])+?)(?<!\s)\$(?![\d$])|^\\\(([^\n]+?)\\\)/.exec(src);
    return match === null ? undefined : { type: "math", raw: match[0], text: match[1] ?? match[2] ?? "" };
  },
};
const display: TokenizerExtension = {
  name: "display",
  level: "block",
  start: (src) => src.match(/\n(?:\$\$|\\\[)/)?.index,
  tokenizer: (src) => {
    const match = /^\$\$([\s\S]+?)\$\$[ \t]*(?:\n|$)|^\\\[([\s\S]+?)\\\][ \t]*(?:\n|$)/.exec(src);
    return match === null ? undefined : { type: "display", raw: match[0], text: (match[1] ?? match[2] ?? "").trim() };
  },
};
const marked = new Marked({ gfm: true, extensions: [inline, display] });

/** Markdown as blocks. */
export function blocksOf(text: string): Token[] {
  return marked.lexer(text);
}

/** What was read of a text that grows. */
export interface Reading {
  text: string; blocks: Token[];
}

/** Blocks at the end that may still change their kind when more comes: `- a`, a blank line, `2` becomes a list. */
const UNSETTLED = 2;

/** The same as `blocksOf` for a text that only grew, without reading its settled blocks again. */
export function readOn(before: Reading | null, text: string): Reading {
  if (before === null || !text.startsWith(before.text)) return { text, blocks: blocksOf(text) };
  let keep = before.blocks.length;
  for (let open = UNSETTLED; keep > 0 && open > 0; keep--) if (before.blocks[keep - 1]?.type !== "space") open -= 1;
  const settled = before.blocks.slice(0, keep);
  // Marked unifies ends of lines and tabs, so its pieces may be shorter than the text: then all is read again.
  const length = settled.reduce((sum, { raw }) => sum + raw.length, 0);
  const same = settled.map(({ raw }) => raw).join("") === text.slice(0, length);
  return { text, blocks: same ? [...settled, ...blocksOf(text.slice(length))] : blocksOf(text) };
}
