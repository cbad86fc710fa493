import { type FormEvent, type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../../api/client.ts";
import type { Checkpoint } from "../../api/types.ts";
import { Button } from "../../design/Button.tsx";
import { Dialog } from "../../design/Dialog.tsx";
import { Skeleton } from "../../design/parts.tsx";
import { toast, toastError } from "../../state/toasts.ts";
import { count, when } from "../../text/format.ts";
import { useSession } from "../context.ts";
import { Restore } from "./Restore.tsx";

const BEFORE = { run: "Before a message", step: "Before a step", restore: "Before a rollback" };

export function titleOf(checkpoint: Checkpoint): string {
  return checkpoint.name ?? BEFORE[checkpoint.auto ?? "step"];
}

interface CheckpointsProps {
  onClose: () => void;
  /** Why nothing can be restored just now; null when it can. */
  busy: string | null;
}

/** The session's timeline of checkpoints; one of them opened shows what restoring it would change. */
export function Checkpoints({ onClose, busy }: CheckpointsProps): ReactNode {
  const { project, session, readOnly } = useSession();
  const [page, setPage] = useState<{ items: Checkpoint[]; next: string | null } | null>(null);
  const [open, setOpen] = useState<Checkpoint | null>(null);
  const load = useCallback(
    (cursor: string | null) =>
      api
        .checkpoints(project, session, cursor)
        .then(({ items, next }) => setPage((held) => ({ items: [...(cursor ? (held?.items ?? []) : []), ...items], next })))
        .catch(toastError),
    [project, session],
  );
  useEffect(() => void load(null), [load]);

  if (open !== null) {
    return (
      <Dialog title={titleOf(open)} wide onClose={onClose}>
        <Restore checkpoint={open} busy={readOnly ?? busy} onBack={() => setOpen(null)} onDone={onClose} />
      </Dialog>
    );
  }
  return (
    <Dialog title="Checkpoints" wide onClose={onClose}>
      <p className="muted">
        kaged keeps the conversation and the files before each message and each step that may change something.
      </p>
      {readOnly === null ? <NameForm onMade={() => load(null)} /> : null}
      {page === null ? <Skeleton lines={4} /> : null}
      {page?.items.length === 0 ? <p className="muted">None yet: the first message makes one.</p> : null}
      <ol role="list" className="points" aria-label="Checkpoints, newest first">
        {page?.items.map((checkpoint) => (
          <li key={checkpoint.id}>
            <button
              type="button"
              className="point"
              data-testid="checkpoint"
              data-auto={checkpoint.auto ?? "named"}
              onClick={() => setOpen(checkpoint)}
            >
              <span className="grow ellipsis">{titleOf(checkpoint)}</span>
              <span className="muted">
                {checkpoint.files_changed === 0 ? "" : `${count(checkpoint.files_changed, "file")} changed`}
              </span>
              <time className="muted" dateTime={checkpoint.created_at}>
                {when(checkpoint.created_at)}
              </time>
            </button>
          </li>
        ))}
      </ol>
      {page?.next ? (
        <Button small look="ghost" onClick={() => void load(page.next)}>
          Older checkpoints
        </Button>
      ) : null}
    </Dialog>
  );
}

function NameForm({ onMade }: { onMade: () => Promise<void> }): ReactNode {
  const { project, session } = useSession();
  const [name, setName] = useState("");
  const [ignored, setIgnored] = useState(false);
  const [making, setMaking] = useState(false);
  const make = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (name.trim() === "" || making) return;
    setMaking(true);
    try {
      await api.nameCheckpoint(project, session, name, ignored);
      setName("");
      toast("The checkpoint is made.");
      await onMade();
    } catch (error) {
      toastError(error);
    } finally {
      setMaking(false);
    }
  };
  return (
    <form className="point-form" onSubmit={(event) => void make(event)}>
      <input
        className="input"
        data-testid="checkpoint-name"
        aria-label="Name of a new checkpoint"
        placeholder="Name of a new checkpoint"
        maxLength={200}
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <Button type="submit" busy={making} disabled={name.trim() === ""} data-testid="checkpoint-make">
        Make it now
      </Button>
      <label className="point-choice">
        <input type="checkbox" checked={ignored} onChange={(event) => setIgnored(event.target.checked)} /> With the files
        that git ignores
      </label>
    </form>
  );
}
