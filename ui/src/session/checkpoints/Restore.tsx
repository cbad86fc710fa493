import { type ReactNode, useEffect, useState } from "react";
import { api } from "../../api/client.ts";
import { ApiError } from "../../api/http.ts";
import type { Diff, What } from "../../api/types.ts";
import { Button } from "../../design/Button.tsx";
import { Notice, Skeleton } from "../../design/parts.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { t } from "../../i18n/index.ts";
import { names } from "../../journal/events.ts";
import { toast, toastError } from "../../state/toasts.ts";
import { parseDiff } from "../../text/diff.ts";
import { useSession } from "../context.ts";
import { Changes } from "../tools/Changes.tsx";

const FILES_SHOWN = 12;
const CHOICES: What[] = ["both", "conversation", "files"];

interface RestoreProps {
  /** The checkpoint. */
  id: string;
  busy: string | null;
  onBack: () => void;
  onDone: () => void;
}

/** What has changed since a checkpoint, and the choice of what to restore of it. */
export function Restore({ id, busy, onBack, onDone }: RestoreProps): ReactNode {
  const { project, session } = useSession();
  const [diff, setDiff] = useState<Diff | null>(null);
  const [what, setWhat] = useState<What>("both");
  const [refused, setRefused] = useState<ApiError | null>(null);
  const [working, setWorking] = useState(false);
  useEffect(() => {
    api.checkpointDiff(project, session, id, "now").then(setDiff).catch(toastError);
  }, [project, session, id]);

  const restore = async (force: boolean): Promise<void> => {
    setWorking(true);
    try {
      const done = await api.rollback(project, session, id, what, force);
      toast(t("session:checkpoint.done", { count: done.files_changed }));
      onDone();
    } catch (error) {
      if (error instanceof ApiError && error.status === 409) setRefused(error);
      else toastError(error);
    } finally {
      setWorking(false);
    }
  };
  return (
    <>
      {busy === null ? null : <Notice>{busy}</Notice>}
      <fieldset className="point-what" disabled={busy !== null}>
        <legend>{t("session:checkpoint.restore")}</legend>
        {CHOICES.map((value) => (
          <label key={value} className="point-choice">
            <input type="radio" name="what" value={value} checked={what === value} onChange={() => setWhat(value)} />
            {t(`session:checkpoint.what.${value}`)}
          </label>
        ))}
      </fieldset>
      {refused === null ? null : <Refusal error={refused} />}
      <div className="point-acts">
        <Button onClick={onBack}>{t("session:back")}</Button>
        {refused !== null && (refused.details["why"] === "foreign" || "sessions" in refused.details) ? (
          <Button look="danger" busy={working} data-testid="restore-anyway" onClick={() => void restore(true)}>
            {t("session:checkpoint.anyway")}
          </Button>
        ) : (
          <Button
            look="primary"
            busy={working}
            disabled={busy !== null}
            data-testid="restore"
            onClick={() => void restore(false)}
          >
            {t("session:checkpoint.restore")}
          </Button>
        )}
      </div>
      <h3 className="point-head">
        {diff === null ? t("session:checkpoint.looking") : diff.count === 0 ? t("session:checkpoint.same") : t("session:checkpoint.since", { count: diff.count })}
      </h3>
      {diff === null ? <Skeleton lines={3} /> : <DiffFiles diff={diff} />}
    </>
  );
}

function Refusal({ error }: { error: ApiError }): ReactNode {
  const listed = error.details["paths"];
  const paths = names(Array.isArray(listed) ? listed : []);
  return (
    <Notice tone="bad">
      <Sentence text={error.message} />
      {paths.length > 1 ? (
        <ul className="point-paths">
          {paths.map((path) => (
            <li key={path}>
              <code>{path}</code>
            </li>
          ))}
        </ul>
      ) : null}
    </Notice>
  );
}

export function DiffFiles({ diff }: { diff: Diff }): ReactNode {
  const rows = new Map(parseDiff(diff.patch).map((file) => [file.path, file]));
  return (
    <div className="point-files">
      {diff.files.slice(0, FILES_SHOWN).map((entry) => {
        const file = rows.get(entry.path);
        return (
          <details key={entry.path} open={diff.files.length <= 3}>
            <summary>
              <code className="grow ellipsis">{entry.path}</code>
              <span className="diff-count">
                {entry.added ? <span className="add">+{entry.added}</span> : null}
                {entry.deleted ? <span className="del">−{entry.deleted}</span> : null}
                {entry.added === null ? <span className="muted">{t("session:checkpoint.notText")}</span> : null}
              </span>
            </summary>
            {file === undefined ? <p className="muted">{t("session:checkpoint.tooLong")}</p> : <Changes file={file} />}
          </details>
        );
      })}
      {diff.count > FILES_SHOWN ? <p className="muted">{t("session:checkpoint.more", { count: diff.count - FILES_SHOWN })}</p> : null}
    </div>
  );
}
