import { type ReactNode, useEffect, useState } from "react";
import { t } from "../i18n/index.ts";
import { useStore } from "../state/store.ts";
import { dismiss, stays, type Toast, toasts } from "../state/toasts.ts";
import { Button, IconButton } from "./Button.tsx";
import { AlertIcon, CheckIcon, CloseIcon, InfoIcon } from "./icons.tsx";
import { Sentence } from "./Sentence.tsx";

const ICONS = { info: InfoIcon, ok: CheckIcon, bad: AlertIcon } as const;

export function Toasts(): ReactNode {
  const list = useStore(toasts);
  return <div className="toasts" role="status">{list.map((entry) => <One key={entry.id} entry={entry} />)}</div>;
}

/** Goes by itself, but not while the pointer or the focus is on it. */
function One({ entry }: { entry: Toast }): ReactNode {
  const [held, setHeld] = useState(false);
  const { id, act } = entry;
  useEffect(() => {
    if (held) return undefined;
    const timer = setTimeout(() => dismiss(id), stays(entry));
    return () => clearTimeout(timer);
  }, [held, entry, id]);
  const Icon = ICONS[entry.tone];
  const hold = { onPointerEnter: () => setHeld(true), onPointerLeave: () => setHeld(false) };
  return (
    <div className={`toast ${entry.tone}`} {...hold} onFocus={() => setHeld(true)} onBlur={() => setHeld(false)}>
      <Icon size={15} />
      <span className="grow"><Sentence text={entry.text} /></span>
      {act === undefined ? null : <Button small onClick={() => { dismiss(id); act.run(); }}>{act.label}</Button>}
      <IconButton small label={t("design:dismiss")} onClick={() => dismiss(id)}><CloseIcon size={14} /></IconButton>
    </div>
  );
}
