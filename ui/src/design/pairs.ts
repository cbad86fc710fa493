import type { DiffRow } from "../text/diff.ts";

/** Before and after of one line of a side-by-side diff; what has no counterpart stands alone. */
interface Pair {
  before: DiffRow | null;
  after: DiffRow | null;
}

/** A run of removed lines stands beside the run of added ones that follows it. */
export function pairsOf(rows: readonly DiffRow[]): Pair[] {
  const pairs: Pair[] = [];
  let removed: DiffRow[] = [];
  const flush = (): void => {
    pairs.push(...removed.map((before) => ({ before, after: null })));
    removed = [];
  };
  for (const row of rows) {
    if (row.kind === "del") removed.push(row);
    else if (row.kind === "add") pairs.push({ before: removed.shift() ?? null, after: row });
    else {
      flush();
      pairs.push({ before: row, after: row });
    }
  }
  flush();
  return pairs;
}
