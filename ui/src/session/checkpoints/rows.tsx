import type { ReactNode } from "react";
import { api } from "../../api/client.ts";
import { ForwardIcon, UndoIcon } from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import type { RestoredItem } from "../../journal/model.ts";
import { person } from "../../state/workspace.ts";
import { toast } from "../../state/toasts.ts";
import { time } from "../../text/format.ts";
import { useSession } from "../context.ts";
import { Act, useWork } from "../work.tsx";

/** That something was rolled back, with the way back. */
export function RestoredRow({ item }: { item: RestoredItem }): ReactNode {
  const { project, session } = useSession();
  const [busy, work] = useWork();
  const undo = async (): Promise<void> => {
    if (await work(api.rollback(project, session, item.undo, item.what, false))) toast(t("session:checkpoint.undone"));
  };
  const files = item.what === "conversation" ? "" : `, ${t("session:checkpoint.changed", { count: item.files })}`;
  return (
    <div className="row aside restored" data-testid="restored" data-what={item.what}>
      <UndoIcon size={14} aria-hidden />
      <span>
        {t(`session:checkpoint.restored.${item.what}`, { name: person(item.actor) })}
        {files}, {time(item.at)}
      </span>
      <Act busy={busy} data-testid="undo-restore" onClick={() => void undo()}>
        {t("session:undo")}
      </Act>
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
