/** Unified diffs as rows for display. Pure. */

export interface DiffRow {
  kind: "same" | "add" | "del" | "gap"; before: number | null; after: number | null; text: string;
}

export interface FileDiff {
  path: string; added: number; removed: number; rows: DiffRow[];
}

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/;

/** Null where there is no file on that side. */
function pathIn(line: string): string | null {
  const path = line.slice(4).split("\t", 1)[0] ?? "";
  return path === "/dev/null" ? null : path.replace(/^[ab]\//, "");
}

/** One entry a file; text outside hunks is ignored, and one that ends too early is shown as far as it goes. */
export function parseDiff(text: string): FileDiff[] {
  const files: FileDiff[] = [];
  let [before, after, inHunk] = [0, 0, false];
  const begin = (path: string): FileDiff => {
    const file: FileDiff = { path, added: 0, removed: 0, rows: [] };
    files.push(file);
    return file;
  };
  const lines = text.replace(/\n$/, "").split("\n");
  lines.forEach((line, index) => {
    let file = files.at(-1);
    const hunk = HUNK.exec(line);
    if (line.startsWith("--- ") && lines[index + 1]?.startsWith("+++ ")) {
      begin(pathIn(line) ?? "");
      inHunk = false;
    } else if (file !== undefined && !inHunk && line.startsWith("+++ ")) file.path = pathIn(line) ?? file.path;
    else if (hunk !== null) {
      file ??= begin("");
      if (file.rows.length > 0) file.rows.push({ kind: "gap", before: null, after: null, text: "" });
      [before, after, inHunk] = [Number(hunk[1]), Number(hunk[2]), true];
    } else if (line.startsWith("diff --git ")) inHunk = false; // what git says between two files is no line of a hunk
    else if (inHunk && file !== undefined && !line.startsWith("\\")) {
      const [sign, body] = [line.charAt(0), line.slice(1)];
      if (sign === "+") file.added += 1;
      if (sign === "-") file.removed += 1;
      const kind = sign === "+" ? "add" : sign === "-" ? "del" : "same";
      file.rows.push({ kind, before: sign === "+" ? null : before++, after: sign === "-" ? null : after++, text: body });
    }
  });
  return files;
}
