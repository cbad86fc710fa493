import { memo, type ReactNode, useState } from "react";
import { DiffView } from "../../design/DiffView.tsx";
import { EditIcon, SplitIcon } from "../../design/icons.tsx";
import { IconButton, Button } from "../../design/Button.tsx";
import { t } from "../../i18n/index.ts";
import { Store, useStore } from "../../state/store.ts";
import { type DiffRow, type FileDiff, pairs } from "../../text/diff.ts";

const KEPT = "kaged.diff";
const FIRST_PAIRS = 60;

/** How changes are shown, everywhere and next time: as the reader last chose. */
const look = new Store<"inline" | "split">(typeof localStorage !== "undefined" && localStorage.getItem(KEPT) === "split" ? "split" : "inline");

/** One file's changes, inline or side by side; where there is no room for two sides, inline. */
export function Changes({ file }: { file: FileDiff }): ReactNode {
  const split = useStore(look) === "split";
  const turn = (): void => {
    look.set(split ? "inline" : "split");
    localStorage.setItem(KEPT, look.get());
  };
  return (
    <div className="changes" data-look={split ? "split" : "inline"}>
      <IconButton small className="changes-look" label={split ? t("tools:inline") : t("tools:split")} onClick={turn}>
        {split ? <EditIcon size={14} /> : <SplitIcon size={14} />}
      </IconButton>
      <div className="changes-inline">
        <DiffView file={file} />
      </div>
      {split ? <Split file={file} /> : null}
    </div>
  );
}

const Split = memo(function Split({ file }: { file: FileDiff }): ReactNode {
  const [all, setAll] = useState(false);
  const rows = pairs(file.rows);
  const shown = all ? rows : rows.slice(0, FIRST_PAIRS);
  return (
    <div className="changes-split">
      <div className="split" role="table" aria-label={t("tools:changesTo", { path: file.path })} tabIndex={0}>
        {shown.map(([before, after], index) => (
          <div key={index} className="split-row" role="row">
            <Side row={before} number={before?.before} />
            <Side row={after} number={after?.after} />
          </div>
        ))}
      </div>
      {shown.length < rows.length ? (
        <Button small look="ghost" className="more" onClick={() => setAll(true)}>
          {t("tools:moreLines", { count: rows.length - shown.length })}
        </Button>
      ) : null}
    </div>
  );
});

function Side({ row, number }: { row: DiffRow | null; number: number | null | undefined }): ReactNode {
  return (
    <div className={`split-side diff-row ${row?.kind ?? "none"}`} role="cell">
      <span className="diff-number">{number ?? ""}</span>
      <span className="split-text">{row?.kind === "gap" ? "⋯" : (row?.text ?? "")}</span>
    </div>
  );
}
