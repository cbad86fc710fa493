import { type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../../api/client.ts";
import type { ApiError } from "../../api/http.ts";
import type { Worktree } from "../../api/types.ts";
import { Button } from "../../design/Button.tsx";
import { Dialog } from "../../design/Dialog.tsx";
import { BranchIcon } from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import { record } from "../../journal/events.ts";
import { toast, toastError } from "../../state/toasts.ts";
import { useSession } from "../context.ts";
import { useWork } from "../work.tsx";
import { Refusal, refusal } from "./Restore.tsx";

function words({ ahead, changes, into }: Worktree): string {
  const parts = [
    ahead > 0 ? t("session:worktree.commits", { count: ahead }) : "",
    changes.count > 0 ? t("session:worktree.uncommitted", { count: changes.count }) : "",
  ].filter(Boolean);
  if (parts.length === 0) return into === null ? t("session:worktree.nothing") : t("session:worktree.nothingFor", { into });
  const what = parts.join(t("session:worktree.and"));
  return into === null ? `${what}.` : t("session:worktree.notIn", { what, into });
}

/** The session's own worktree: how far it is, and what to do with its work. `idle` changes when a run has ended. */
export function WorktreeBar({ idle }: { idle: boolean }): ReactNode {
  const { project, session, readOnly } = useSession();
  const [state, setState] = useState<Worktree | null>(null);
  const [open, setOpen] = useState(false);
  const look = useCallback(() => {
    api.worktree(project, session).then(setState).catch(toastError);
  }, [project, session]);
  useEffect(() => {
    if (idle) look();
  }, [look, idle]);
  const unmerged = state !== null && (state.ahead > 0 || state.changes.count > 0);
  return (
    <>
      <button type="button" className="worktree-badge" data-testid="worktree" data-unmerged={unmerged}
        title={t("session:worktree.title")} onClick={() => setOpen(true)}>
        <BranchIcon size={14} aria-hidden />
        <span className="ellipsis">{state?.branch ?? t("session:worktree.own")}</span>
      </button>
      {open ? (
        <Dialog title={t("session:worktree.head")} onClose={() => setOpen(false)}>
          <p>{state === null ? t("session:worktree.looking") : words(state)}</p>
          {readOnly === null && state !== null ? (
            <Acts state={state} idle={idle} onDone={setState} onClose={() => setOpen(false)} />
          ) : null}
        </Dialog>
      ) : null}
    </>
  );
}

interface ActsProps {
  state: Worktree; idle: boolean; onDone: (state: Worktree) => void; onClose: () => void;
}

function Acts({ state, idle, onDone, onClose }: ActsProps): ReactNode {
  const { project, session } = useSession();
  const [busy, work] = useWork();
  const [asking, setAsking] = useState<"branch" | "discard" | null>(null);
  const [name, setName] = useState("");
  const [refused, setRefused] = useState<ApiError | null>(null);
  const act = async (which: "merge" | "branch" | "discard"): Promise<void> => {
    setRefused(null);
    const done = (after: Worktree): void => {
      onDone(after);
      toast(t(`session:worktree.done.${which}`));
      onClose();
    };
    const acted = api.actOnWorktree(project, session, which, which === "branch" ? { name: name.trim() } : {});
    await work(acted.then(done).catch(refusal(setRefused)));
  };
  const { conflicts, blocked } = refused?.details ?? {};
  const nothing = state.ahead === 0 && state.changes.count === 0;
  return (
    <>
      {idle ? null : <p className="muted">{t("session:worktree.atWork")}</p>}
      {refused === null ? null : <Refusal error={refused} listed={record(conflicts ?? blocked)["names"]} />}
      <div className="worktree-acts">
        <Button look="primary" busy={busy && asking === null} disabled={!idle || nothing || state.into === null}
          data-testid="worktree-merge" onClick={() => void act("merge")}>
          {t("session:worktree.merge", { into: state.into ?? "…" })}
        </Button>
        <Button disabled={!idle} data-testid="worktree-branch" onClick={() => setAsking("branch")}>
          {t("session:worktree.branch")}
        </Button>
        <Button look="danger" disabled={!idle || nothing} data-testid="worktree-discard" onClick={() => setAsking("discard")}>
          {t("session:worktree.discard")}
        </Button>
      </div>
      {asking === "branch" ? (
        <form className="worktree-ask"
          onSubmit={(event) => {
            event.preventDefault();
            void act("branch");
          }}>
          <input className="input" autoFocus aria-label={t("session:worktree.branchName")}
            placeholder={t("session:worktree.branchName")} value={name} onChange={(event) => setName(event.target.value)} />
          <Button type="submit" busy={busy} disabled={name.trim() === ""}>
            {t("session:worktree.keep")}
          </Button>
        </form>
      ) : null}
      {asking === "discard" ? (
        <div className="worktree-ask">
          <span>{t("session:worktree.sure")}</span>
          <Button look="danger" busy={busy} onClick={() => void act("discard")}>
            {t("session:worktree.yes")}
          </Button>
        </div>
      ) : null}
    </>
  );
}

