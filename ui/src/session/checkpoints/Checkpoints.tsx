import { type FormEvent, type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../../api/client.ts";
import type { Checkpoint, Page } from "../../api/types.ts";
import { Button } from "../../design/Button.tsx";
import { Dialog } from "../../design/Dialog.tsx";
import { useLoaded } from "../../design/loaded.ts";
import { Notice, Skeleton } from "../../design/parts.tsx";
import { StateView } from "../../design/StateView.tsx";
import { t } from "../../i18n/index.ts";
import type { Transcript } from "../../journal/model.ts";
import { when } from "../../text/format.ts";
import { nameCheckpoint, told } from "../acts.ts";
import { useSession } from "../context.ts";
import { useWork } from "../work.tsx";
import { DiffFiles, Restore } from "./Restore.tsx";

export function titleOf(name: string | null, auto: string | null): string {
  const before = auto === "restore" ? "session:checkpoint.beforeRestore" : "session:checkpoint.beforeStep";
  return name || t(auto === "run" ? "session:checkpoint.beforeRun" : before);
}

const NOW = "now";

interface CheckpointsProps {
  onClose: () => void;
  /** Why nothing can be restored just now; null when it can. */
  busy: string | null;
  /** The one to open with. */
  first: string | null;
  comparing: boolean; marks: Transcript["marks"];
}

/** The session's timeline of checkpoints: one opened shows what restoring it would change, two what changed between. */
export function Checkpoints({ onClose, busy, first, comparing, marks }: CheckpointsProps): ReactNode {
  const { project, session, readOnly } = useSession();
  const [page, setPage] = useState<Page<Checkpoint> | null>(null);
  const [open, setOpen] = useState<string | null>(first);
  const [compare, setCompare] = useState<string[] | null>(comparing ? [] : null);
  const load = useCallback(async (cursor: string | null) => {
    const found = ({ items, next }: Page<Checkpoint>): void =>
      setPage((held) => ({ items: [...(cursor ? (held?.items ?? []) : []), ...items], next }));
    await told(api.checkpoints(project, session, cursor).then(found));
  }, [project, session]);
  useEffect(() => void load(null), [load]);

  if (open !== null) {
    const found = page?.items.find(({ id }) => id === open);
    const mark = marks[open];
    return (
      <Dialog title={titleOf(found?.name ?? mark?.name ?? null, found?.auto ?? mark?.auto ?? null)} wide onClose={onClose}>
        <Restore id={open} busy={readOnly ?? busy} onBack={() => setOpen(null)} onDone={onClose} />
      </Dialog>
    );
  }
  const choose = (id: string): void => {
    if (compare === null) setOpen(id);
    else setCompare(compare.includes(id) ? compare.filter((held) => held !== id) : [...compare.slice(-1), id]);
  };
  return (
    <Dialog title={t("session:checkpoint.title")} wide onClose={onClose}>
      <div className="point-intro">
        <p className="muted grow">{compare === null ? t("session:checkpoint.words") : t("session:checkpoint.chooseTwo")}</p>
        <Button small aria-pressed={compare !== null} data-testid="compare" onClick={() => setCompare(compare === null ? [] : null)}>
          {t("session:checkpoint.compare")}
        </Button>
      </div>
      {readOnly === null && compare === null ? <NameForm onMade={() => load(null)} /> : null}
      {page === null ? <Skeleton lines={4} /> : null}
      {page?.items.length === 0 ? <p className="muted">{t("session:checkpoint.none")}</p> : null}
      <ol role="list" className="points" aria-label={t("session:checkpoint.list")}>
        {compare === null ? null : (
          <Point id={NOW} title={t("session:checkpoint.now")} auto="now" files={0} at="" chosen={compare.includes(NOW)}
            onChoose={choose} testId="checkpoint-now" />
        )}
        {page?.items.map(({ id, name, auto, files_changed: files, created_at: at }) => (
          <Point key={id} id={id} title={titleOf(name, auto)} auto={auto ?? "named"} files={files} at={at}
            chosen={compare?.includes(id)} onChoose={choose} />
        ))}
      </ol>
      {page?.next ? (
        <Button small look="ghost" onClick={() => void load(page.next)}>
          {t("session:checkpoint.older")}
        </Button>
      ) : null}
      {compare?.length === 2 ? <Between key={compare.join()} ids={inOrder(compare, page?.items ?? [])} /> : null}
    </Dialog>
  );
}

/** The older one first. */
function inOrder(ids: readonly string[], newestFirst: readonly Checkpoint[]): string[] {
  const place = (id: string): number => (id === NOW ? -1 : newestFirst.findIndex((item) => item.id === id));
  return ids.toSorted((one, other) => place(other) - place(one));
}

interface PointProps {
  id: string; title: string; auto: string; files: number; at: string;
  /** While two are being chosen. */
  chosen?: boolean | undefined;
  onChoose: (id: string) => void; testId?: string;
}

/** One mark on the timeline. */
export function Point({ id, title, auto, files, at, chosen, onChoose, testId = "checkpoint" }: PointProps): ReactNode {
  return (
    <li>
      <button type="button" className="point" data-testid={testId} data-auto={auto} aria-pressed={chosen} onClick={() => onChoose(id)}>
        <span className="point-dot" aria-hidden />
        <span className="grow ellipsis">{title}</span>
        <span className="muted">{files === 0 ? "" : t("session:checkpoint.changed", { count: files })}</span>
        <time className="muted" dateTime={at}>{when(at)}</time>
      </button>
    </li>
  );
}

/** What changed from one checkpoint to another. */
function Between({ ids: [from = "", to = ""] }: { ids: readonly string[] }): ReactNode {
  const { project, session } = useSession();
  const diff = useLoaded(() => api.checkpointDiff(project, session, from, to), `${from} ${to}`);
  return (
    <section aria-label={t("session:checkpoint.between")} data-testid="between">
      <StateView of={diff} lines={3}>
        {(found) =>
          found.count === 0 ? (
            <Notice>{t("session:checkpoint.noDifference")}</Notice>
          ) : (
          <>
            <h3 className="point-head">{t("session:checkpoint.differ", { count: found.count })}</h3>
            <DiffFiles diff={found} />
          </>
        )
        }
      </StateView>
    </section>
  );
}

function NameForm({ onMade }: { onMade: () => Promise<void> }): ReactNode {
  const { project, session } = useSession();
  const [name, setName] = useState("");
  const [ignored, setIgnored] = useState(false);
  const [making, work] = useWork();
  const make = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    if (name.trim() === "" || making) return;
    const made = nameCheckpoint(project, session, name, ignored);
    await work(made);
    if (!(await made)) return;
    setName("");
    await onMade();
  };
  return (
    <form className="point-form" onSubmit={(event) => void make(event)}>
      <input className="input" data-testid="checkpoint-name" aria-label={t("session:checkpoint.newName")}
        placeholder={t("session:checkpoint.newName")} maxLength={200} value={name}
        onChange={(event) => setName(event.target.value)} />
      <Button type="submit" busy={making} disabled={name.trim() === ""} data-testid="checkpoint-make">
        {t("session:checkpoint.make")}
      </Button>
      <label className="point-choice">
        <input type="checkbox" checked={ignored} onChange={(event) => setIgnored(event.target.checked)} /> {t("session:checkpoint.ignored")}
      </label>
    </form>
  );
}
