export interface HitGroup {
  path: string; hits: { line: number; text: string }[];
}

/** `path:line:text` lines by file; null when the text is not such a list. */
export function groupHits(text: string): HitGroup[] | null {
  const groups = new Map<string, HitGroup>();
  let strange = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "" || line === "--") continue;
    const [all, path = "", , number, text = ""] = /^(.+?)([:-])(\d+)\2 ?(.*)$/.exec(line) ?? [];
    const group = groups.get(path) ?? { path, hits: [] };
    if (all === undefined) strange += 1;
    else groups.set(path, group);
    group.hits.push({ line: Number(number), text });
  }
  return groups.size === 0 || strange > groups.size + 2 ? null : [...groups.values()];
}
