import { lazy, type ReactNode, Suspense, useEffect, useState } from "react";
import { Dialog } from "../design/Dialog.tsx";
import { EditIcon } from "../design/icons.tsx";
import { Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { files } from "./calls.ts";

const ChangesTab = lazy(() => import("./ChangesTab.tsx"));

/** On a session's page: how many files were changed since it began, and their review. `idle` changes when a run has ended. */
export function SessionChanges({ slug, session, idle }: { slug: string; session: string; idle: boolean }): ReactNode {
  const [count, setCount] = useState(0);
  const [path, setPath] = useState<string | null>(null);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!idle || open) return undefined;
    let current = true;
    // A session that has not begun has no changes, which is no news.
    files.changes({ slug, session }, "session").then((found) => current && setCount(found.count), () => {});
    return () => {
      current = false;
    };
  }, [slug, session, idle, open]);
  if (count === 0 && !open) return null;
  return (
    <>
      <button type="button" className="worktree-badge" data-testid="session-changes" title={t("files:sessionChanges")} onClick={() => setOpen(true)}>
        <EditIcon size={14} />
        <span className="ellipsis">{t("files:changed", { count })}</span>
      </button>
      {open ? (
        <Dialog title={t("files:sessionChanges")} wide onClose={() => setOpen(false)}>
          <div className="changes-dialog">
            <Suspense fallback={<Skeleton lines={8} />}>
              <ChangesTab slug={slug} session={session} path={path} onPick={setPath} />
            </Suspense>
          </div>
        </Dialog>
      ) : null}
    </>
  );
}
