import { memo, type ReactNode, useState } from "react";
import { count } from "../text/format.ts";
import type { DiffRow, FileDiff } from "../text/diff.ts";
import { Button } from "./Button.tsx";

const FIRST_ROWS = 60;

const SIGN: Readonly<Record<DiffRow["kind"], string>> = { same: " ", add: "+", del: "−", gap: "" };

/** One file's changes, inline, with line numbers before and after. */
export const DiffView = memo(function DiffView({ file }: { file: FileDiff }): ReactNode {
  const [all, setAll] = useState(false);
  const rows = all ? file.rows : file.rows.slice(0, FIRST_ROWS);
  return (
    <>
      <div className="diff" role="table" aria-label={`Changes to ${file.path}`} tabIndex={0}>
        {rows.map((row, index) => (
          <div key={index} className={`diff-row ${row.kind}`} role="row">
            <span className="diff-number" role="cell">
              {row.before ?? ""}
            </span>
            <span className="diff-number" role="cell">
              {row.after ?? ""}
            </span>
            <span className="diff-sign" role="cell">
              {SIGN[row.kind]}
            </span>
            <span className="diff-text" role="cell">
              {row.kind === "gap" ? "⋯" : row.text}
            </span>
          </div>
        ))}
      </div>
      {file.rows.length > rows.length ? (
        <Button small look="ghost" className="more" onClick={() => setAll(true)}>
          Show {count(file.rows.length - rows.length, "more line")}
        </Button>
      ) : null}
    </>
  );
});

export function DiffCount({ file }: { file: FileDiff }): ReactNode {
  return (
    <span className="diff-count" aria-label={`${file.added} added, ${file.removed} removed`}>
      {file.added > 0 ? <span className="add">+{file.added}</span> : null}
      {file.removed > 0 ? <span className="del">−{file.removed}</span> : null}
    </span>
  );
}
