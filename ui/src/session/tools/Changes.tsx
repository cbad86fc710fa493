import type { ReactNode } from "react";
import { IconButton } from "../../design/Button.tsx";
import { DiffView } from "../../design/DiffView.tsx";
import { EditIcon, SplitIcon } from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import { Choice } from "../../state/choice.ts";
import { useStore } from "../../state/store.ts";
import type { FileDiff } from "../../text/diff.ts";

/** How changes are shown, everywhere and next time: as the reader last chose. */
const look = new Choice("kaged.diff", ["inline", "split"]);

/** One file's changes, inline or side by side; where there is no room for two sides, inline. */
export function Changes({ file }: { file: FileDiff }): ReactNode {
  const split = useStore(look) === "split";
  return (
    <div className="changes" data-look={split ? "split" : "inline"}>
      <IconButton small className="changes-look" label={split ? t("tools:inline") : t("tools:split")}
        onClick={() => look.choose(split ? "inline" : "split")}>
        {split ? <EditIcon size={14} /> : <SplitIcon size={14} />}
      </IconButton>
      <div className="changes-inline">
        <DiffView file={file} />
      </div>
      {split ? (
        <div className="changes-split">
          <DiffView file={file} split />
        </div>
      ) : null}
    </div>
  );
}
