import { SearchAddon } from "@xterm/addon-search";
import type { Terminal as Xterm } from "@xterm/xterm";
import { type ReactNode, useEffect, useMemo, useState } from "react";
import { IconButton } from "../design/Button.tsx";
import { ChevronIcon, CloseIcon } from "../design/icons.tsx";

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
        aria-label="Find in the terminal"
        placeholder="Find"
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
      <IconButton small label="Older" className="flip" onClick={() => search.findPrevious(text)}>
        <ChevronIcon size={15} />
      </IconButton>
      <IconButton small label="Newer" onClick={() => search.findNext(text)}>
        <ChevronIcon size={15} />
      </IconButton>
      <IconButton small label="Close" onClick={onClose}>
        <CloseIcon size={15} />
      </IconButton>
    </div>
  );
}
