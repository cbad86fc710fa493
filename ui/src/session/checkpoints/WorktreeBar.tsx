import { type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../../api/client.ts";
import { ApiError } from "../../api/http.ts";
import type { Worktree } from "../../api/types.ts";
import { Button } from "../../design/Button.tsx";
import { Dialog } from "../../design/Dialog.tsx";
import { BranchIcon } from "../../design/icons.tsx";
import { Notice } from "../../design/parts.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { names, record } from "../../journal/events.ts";
import { toast, toastError } from "../../state/toasts.ts";
import { count } from "../../text/format.ts";
import { useSession } from "../context.ts";

type Act = "merge" | "branch" | "discard";

function words({ ahead, changes, into }: Worktree): string {
  const parts = [
    ahead > 0 ? count(ahead, "commit") : "",
    changes.count > 0 ? `${count(changes.count, "file")} not committed` : "",
  ].filter(Boolean);
  if (parts.length === 0) return into === null ? "Nothing new here." : `Nothing here that ${into} does not have.`;
  return `${parts.join(" and ")}${into === null ? "" : `, not in ${into}`}.`;
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
      <button
        type="button"
        className="worktree-badge"
        data-testid="worktree"
        data-unmerged={unmerged}
        title="This session works in a git worktree of its own"
        onClick={() => setOpen(true)}
      >
        <BranchIcon size={14} aria-hidden />
        <span className="ellipsis">{state?.branch ?? "own worktree"}</span>
      </button>
      {open ? (
        <Dialog title="A worktree of its own" onClose={() => setOpen(false)}>
          <p>{state === null ? "Looking." : words(state)}</p>
          {readOnly === null && state !== null ? (
            <Acts state={state} idle={idle} onDone={setState} onClose={() => setOpen(false)} />
          ) : null}
        </Dialog>
      ) : null}
    </>
  );
}

interface ActsProps {
  state: Worktree;
  idle: boolean;
  onDone: (state: Worktree) => void;
  onClose: () => void;
}

const DONE: Readonly<Record<Act, string>> = {
  merge: "The work is merged.",
  branch: "The work is kept as a branch.",
  discard: "The work is discarded; a checkpoint has the files.",
};

function Acts({ state, idle, onDone, onClose }: ActsProps): ReactNode {
  const { project, session } = useSession();
  const [busy, setBusy] = useState<Act | null>(null);
  const [asking, setAsking] = useState<"branch" | "discard" | null>(null);
  const [name, setName] = useState("");
  const [refused, setRefused] = useState<ApiError | null>(null);
  const act = async (which: Act): Promise<void> => {
    setBusy(which);
    setRefused(null);
    try {
      onDone(await api.actOnWorktree(project, session, which, which === "branch" ? { name: name.trim() } : {}));
      toast(DONE[which]);
      onClose();
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) setRefused(error);
      else toastError(error);
    } finally {
      setBusy(null);
    }
  };
  const nothing = state.ahead === 0 && state.changes.count === 0;
  return (
    <>
      {idle ? null : <p className="muted">The agent is at work; stop it, or wait for its end.</p>}
      {refused === null ? null : <Refused error={refused} />}
      <div className="worktree-acts">
        <Button
          look="primary"
          busy={busy === "merge"}
          disabled={!idle || nothing || state.into === null}
          data-testid="worktree-merge"
          onClick={() => void act("merge")}
        >
          Merge into {state.into ?? "…"}
        </Button>
        <Button disabled={!idle} data-testid="worktree-branch" onClick={() => setAsking("branch")}>
          Make a branch
        </Button>
        <Button
          look="danger"
          disabled={!idle || nothing}
          data-testid="worktree-discard"
          onClick={() => setAsking("discard")}
        >
          Discard
        </Button>
      </div>
      {asking === "branch" ? (
        <form
          className="worktree-ask"
          onSubmit={(event) => {
            event.preventDefault();
            void act("branch");
          }}
        >
          <input
            className="input"
            autoFocus
            aria-label="Name of the branch"
            placeholder="Name of the branch"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          <Button type="submit" busy={busy === "branch"} disabled={name.trim() === ""}>
            Keep
          </Button>
        </form>
      ) : null}
      {asking === "discard" ? (
        <div className="worktree-ask">
          <span>Throw this work away?</span>
          <Button look="danger" busy={busy === "discard"} onClick={() => void act("discard")}>
            Yes, discard it
          </Button>
        </div>
      ) : null}
    </>
  );
}

function Refused({ error }: { error: ApiError }): ReactNode {
  const listed = record(error.details["conflicts"] ?? error.details["blocked"])["names"];
  return (
    <Notice tone="bad">
      <Sentence text={error.message} />
      <ul className="point-paths">
        {names(Array.isArray(listed) ? listed : []).map((path) => (
          <li key={path}>
            <code>{path}</code>
          </li>
        ))}
      </ul>
    </Notice>
  );
}
