import type { ReactNode } from "react";
import { useStore } from "../state/store.ts";
import { dismiss, toasts } from "../state/toasts.ts";
import { IconButton } from "./Button.tsx";
import { AlertIcon, CloseIcon, InfoIcon } from "./icons.tsx";
import { Sentence } from "./Sentence.tsx";

export function Toasts(): ReactNode {
  const list = useStore(toasts);
  return (
    <div className="toasts" role="status">
      {list.map((entry) => (
        <div key={entry.id} className={`toast ${entry.tone}`}>
          {entry.tone === "bad" ? <AlertIcon size={15} aria-hidden /> : <InfoIcon size={15} aria-hidden />}
          <span className="grow">
            <Sentence text={entry.text} />
          </span>
          <IconButton small label="Dismiss" onClick={() => dismiss(entry.id)}>
            <CloseIcon size={14} />
          </IconButton>
        </div>
      ))}
    </div>
  );
}
