import { type ReactNode, useState } from "react";
import { api } from "../../api/client.ts";
import { Button } from "../../design/Button.tsx";
import { ForwardIcon, UndoIcon } from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import type { RestoredItem } from "../../journal/model.ts";
import { person } from "../../state/workspace.ts";
import { toast, toastError } from "../../state/toasts.ts";
import { time } from "../../text/format.ts";
import { useSession } from "../context.ts";

/** That something was rolled back, with the way back. */
export function RestoredRow({ item }: { item: RestoredItem }): ReactNode {
  const { project, session, readOnly } = useSession();
  const [busy, setBusy] = useState(false);
  const undo = async (): Promise<void> => {
    setBusy(true);
    try {
      await api.rollback(project, session, item.undo, item.what, false);
      toast(t("session:checkpoint.undone"));
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  const files = item.what === "conversation" ? "" : `, ${t("session:checkpoint.changed", { count: item.files })}`;
  return (
    <div className="row aside restored" data-testid="restored" data-what={item.what}>
      <UndoIcon size={14} aria-hidden />
      <span>
        {t(`session:checkpoint.restored.${item.what}`, { name: person(item.actor) })}
        {files}, {time(item.at)}
      </span>
      <Button
        small
        busy={busy}
        disabled={readOnly !== null}
        title={readOnly ?? undefined}
        data-testid="undo-restore"
        onClick={() => void undo()}
      >
        {t("session:undo")}
      </Button>
    </div>
  );
}

/** Rows that the agent knows nothing of any more, out of the way. */
export function RolledBack({ children }: { children: ReactNode[] }): ReactNode {
  return (
    <details className="row rolled-back" data-testid="rolled-back">
      <summary>
        <ForwardIcon size={13} aria-hidden className="turn" /> {t("session:checkpoint.away", { count: children.length })}
      </summary>
      <div className="rolled-rows">{children}</div>
    </details>
  );
}
