import { SearchAddon } from "@xterm/addon-search";
import type { Terminal as Xterm } from "@xterm/xterm";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { IconButton } from "../design/Button.tsx";
import { ChevronIcon, CloseIcon } from "../design/icons.tsx";
import { t } from "../i18n";

/** Search in the scrollback. */
export function Find({ xterm, onClose }: { xterm: Xterm; onClose: () => void }): ReactNode {
  const search = useMemo(() => new SearchAddon(), []);
  const [text, setText] = useState("");
  useEffect(() => {
    xterm.loadAddon(search);
    return () => search.dispose();
  }, [xterm, search]);
  return (
    <div className="find" role="search">
      <input
        className="input"
        aria-label={t("terminal:find.label")}
        placeholder={t("terminal:find.placeholder")}
        autoFocus
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          search.findPrevious(event.target.value, { incremental: true });
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") onClose();
          else if (event.key === "Enter" && event.shiftKey) search.findNext(text);
          else if (event.key === "Enter") search.findPrevious(text);
        }}
      />
      <IconButton small label={t("terminal:find.older")} className="flip" onClick={() => search.findPrevious(text)}>
        <ChevronIcon size={15} />
      </IconButton>
      <IconButton small label={t("terminal:find.newer")} onClick={() => search.findNext(text)}>
        <ChevronIcon size={15} />
      </IconButton>
      <IconButton small label={t("common:close")} onClick={onClose}>
        <CloseIcon size={15} />
      </IconButton>
    </div>
  );
}
