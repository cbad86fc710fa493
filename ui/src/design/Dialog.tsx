import { type ReactNode, useId } from "react";
import { t } from "../i18n/index.ts";
import { IconButton } from "./Button.tsx";
import { useModal } from "./hooks.ts";
import { CloseIcon } from "./icons.tsx";

interface DialogProps {
  title: string;
  onClose: () => void;
  wide?: boolean;
  children: ReactNode;
  foot?: ReactNode;
}

/** A modal dialog: the browser keeps the focus inside, Escape and the scrim close it. */
export function Dialog({ title, onClose, wide, children, foot }: DialogProps): ReactNode {
  const ref = useModal(onClose);
  const titleId = useId();
  return (
    // The scrim is part of the dialog element; a click on it is a click on the dialog itself.
    <dialog ref={ref} className={wide ? "dialog wide" : "dialog"} aria-labelledby={titleId} onClose={onClose}
      onMouseDown={(event) => event.target === ref.current && ref.current.close()}>
      <div className="dialog-head">
        <h2 id={titleId}>{title}</h2>
        <IconButton label={t("common:close")} onClick={() => ref.current?.close()}><CloseIcon size={17} /></IconButton>
      </div>
      <div className="dialog-body">{children}</div>
      {foot === undefined ? null : <div className="dialog-foot">{foot}</div>}
    </dialog>
  );
}
