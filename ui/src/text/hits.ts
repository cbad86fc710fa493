export interface HitGroup {
  path: string;
  hits: { line: number; text: string }[];
}

/** `path:line:text` lines by file; null when the text is not such a list. */
export function groupHits(text: string): HitGroup[] | null {
  const groups = new Map<string, HitGroup>();
  let strange = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "" || line === "--") continue;
    const match = /^(.+?)([:-])(\d+)\2 ?(.*)$/.exec(line);
    if (match === null) {
      strange += 1;
      continue;
    }
    const path = match[1] ?? "";
    const group = groups.get(path) ?? { path, hits: [] };
    groups.set(path, group);
    group.hits.push({ line: Number(match[3]), text: match[4] ?? "" });
  }
  return groups.size === 0 || strange > groups.size + 2 ? null : [...groups.values()];
}
