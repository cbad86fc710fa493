/** Unified diffs as rows for display. Pure. */

export interface DiffRow {
  kind: "same" | "add" | "del" | "gap";
  before: number | null;
  after: number | null;
  text: string;
}

export interface FileDiff {
  path: string;
  added: number;
  removed: number;
  rows: DiffRow[];
}

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/;

function pathIn(line: string): string {
  const path = line.slice(4).split("\t", 1)[0] ?? "";
  return path.replace(/^[ab]\//, "");
}

/** One entry a file; text outside hunks is ignored. */
export function parseDiff(text: string): FileDiff[] {
  const files: FileDiff[] = [];
  let file: FileDiff | null = null;
  let before = 0;
  let after = 0;
  let inHunk = false;
  const lines = text.replace(/\n$/, "").split("\n");
  lines.forEach((line, index) => {
    const header = line.startsWith("--- ") && (lines[index + 1]?.startsWith("+++ ") ?? false);
    if (header) {
      file = { path: "", added: 0, removed: 0, rows: [] };
      files.push(file);
      inHunk = false;
      const old = pathIn(line);
      if (old !== "/dev/null") file.path = old;
      return;
    }
    if (file !== null && !inHunk && line.startsWith("+++ ")) {
      const path = pathIn(line);
      if (path !== "/dev/null") file.path = path;
      return;
    }
    const hunk = HUNK.exec(line);
    if (hunk !== null) {
      file ??= begin(files);
      if (file.rows.length > 0) file.rows.push({ kind: "gap", before: null, after: null, text: "" });
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      inHunk = true;
      return;
    }
    // What git says between two files begins like no line of a hunk.
    if (line.startsWith("diff --git ")) inHunk = false;
    if (!inHunk || file === null) return;
    const body = line.slice(1);
    if (line.startsWith("+")) {
      file.added += 1;
      file.rows.push({ kind: "add", before: null, after: after++, text: body });
    } else if (line.startsWith("-")) {
      file.removed += 1;
      file.rows.push({ kind: "del", before: before++, after: null, text: body });
    } else if (!line.startsWith("\\")) file.rows.push({ kind: "same", before: before++, after: after++, text: body });
  });
  return files;
}

function begin(files: FileDiff[]): FileDiff {
  const file: FileDiff = { path: "", added: 0, removed: 0, rows: [] };
  files.push(file);
  return file;
}

/** A line of the side before and one of the side after, either missing where the other has no counterpart. */
export type Pair = readonly [DiffRow | null, DiffRow | null];

/** The same rows side by side: what went stands beside what came in its place. */
export function pairs(rows: readonly DiffRow[]): Pair[] {
  const out: Pair[] = [];
  let gone: DiffRow[] = [];
  let come: DiffRow[] = [];
  const flush = (): void => {
    for (let at = 0; at < Math.max(gone.length, come.length); at++) out.push([gone[at] ?? null, come[at] ?? null]);
    [gone, come] = [[], []];
  };
  for (const row of rows) {
    if (row.kind === "del" && come.length > 0) flush();
    if (row.kind === "del") gone.push(row);
    else if (row.kind === "add") come.push(row);
    else {
      flush();
      out.push([row, row]);
    }
  }
  flush();
  return out;
}
