import { memo, type ReactNode, useState } from "react";
import type { DiffRow, FileDiff } from "../text/diff.ts";
import { t } from "../i18n/index.ts";
import { Button } from "./Button.tsx";
import { pairsOf } from "./pairs.ts";

const FIRST_ROWS = 60;

const SIGN: Readonly<Record<DiffRow["kind"], string>> = { same: " ", add: "+", del: "−", gap: "" };

interface DiffViewProps {
  file: FileDiff;
  /** Before and after side by side; the caller knows whether there is room. */
  split?: boolean;
}

/** One file's changes with line numbers before and after. */
export const DiffView = memo(function DiffView({ file, split = false }: DiffViewProps): ReactNode {
  const [all, setAll] = useState(false);
  const rows = all ? file.rows : file.rows.slice(0, FIRST_ROWS);
  return (
    <>
      <div className={split ? "diff split-diff" : "diff"} role="table" aria-label={t("design:changes", { path: file.path })} tabIndex={0}>
        {split ? pairsOf(rows).map(({ before, after }, index) => (
          <div key={index} className="diff-pair" role="row">
            <Side row={before} number={before?.before ?? null} />
            <Side row={after} number={after?.after ?? null} />
          </div>
        )) : rows.map((row, index) => (
          <div key={index} className={`diff-row ${row.kind}`} role="row">
            <span className="diff-number" role="cell">{row.before ?? ""}</span>
            <span className="diff-number" role="cell">{row.after ?? ""}</span>
            <span className="diff-sign" role="cell">{SIGN[row.kind]}</span>
            <span className="diff-text" role="cell">{row.kind === "gap" ? "⋯" : row.text}</span>
          </div>
        ))}
      </div>
      {file.rows.length > rows.length ? (
        <Button small look="ghost" className="more" onClick={() => setAll(true)}>
          {t("design:more_lines", { count: file.rows.length - rows.length })}
        </Button>
      ) : null}
    </>
  );
});

function Side({ row, number }: { row: DiffRow | null; number: number | null }): ReactNode {
  return (
    <span className={`diff-side diff-row ${row?.kind ?? "none"}`} role="cell">
      <span className="diff-number">{number ?? ""}</span>
      <span className="diff-sign">{row === null ? "" : SIGN[row.kind]}</span>
      <span className="diff-text">{row?.kind === "gap" ? "⋯" : row?.text}</span>
    </span>
  );
}

export function DiffCount({ file }: { file: Pick<FileDiff, "added" | "removed"> }): ReactNode {
  return (
    <span className="diff-count" aria-label={t("design:diff_count", { added: file.added, removed: file.removed })} role="img">
      {file.added > 0 ? <span className="add">+{file.added}</span> : null}
      {file.removed > 0 ? <span className="del">−{file.removed}</span> : null}
    </span>
  );
}
