import { type ReactNode, useState } from "react";
import { api } from "../../api/client.ts";
import { ApiError } from "../../api/http.ts";
import type { Diff, Restored, What } from "../../api/types.ts";
import { Button } from "../../design/Button.tsx";
import { DiffCount } from "../../design/DiffView.tsx";
import { useLoaded } from "../../design/loaded.ts";
import { Notice } from "../../design/parts.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { StateView } from "../../design/StateView.tsx";
import { t } from "../../i18n/index.ts";
import { names } from "../../journal/events.ts";
import { toast } from "../../state/toasts.ts";
import { parseDiff } from "../../text/diff.ts";
import { useSession } from "../context.ts";
import { Changes } from "../tools/Changes.tsx";
import { useWork } from "../work.tsx";

const FILES_SHOWN = 12;
const CHOICES: What[] = ["both", "conversation", "files"];

interface RestoreProps {
  /** The checkpoint. */
  id: string;
  busy: string | null; onBack: () => void; onDone: () => void;
}

/** What has changed since a checkpoint, and the choice of what to restore of it. */
export function Restore({ id, busy, onBack, onDone }: RestoreProps): ReactNode {
  const { project, session } = useSession();
  const diff = useLoaded(() => api.checkpointDiff(project, session, id, "now"));
  const [what, setWhat] = useState<What>("both");
  const [refused, setRefused] = useState<ApiError | null>(null);
  const [working, work] = useWork();
  const restore = async (force: boolean): Promise<void> => {
    const done = ({ files_changed: count }: Restored): void => {
      toast(t("session:checkpoint.done", { count }));
      onDone();
    };
    await work(api.rollback(project, session, id, what, force).then(done).catch(refusal(setRefused)));
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
      {refused === null ? null : <Refusal error={refused} listed={refused.details["paths"]} />}
      <div className="point-acts">
        <Button onClick={onBack}>{t("session:back")}</Button>
        {refused !== null && (refused.details["why"] === "foreign" || "sessions" in refused.details) ? (
          <Button look="danger" busy={working} data-testid="restore-anyway" onClick={() => void restore(true)}>
            {t("session:checkpoint.anyway")}
          </Button>
        ) : (
          <Button look="primary" busy={working} disabled={busy !== null} data-testid="restore" onClick={() => void restore(false)}>
            {t("session:checkpoint.restore")}
          </Button>
        )}
      </div>
      {diff.value === null ? <h3 className="point-head">{t("session:checkpoint.looking")}</h3> : null}
      <StateView of={diff} lines={3}>
        {(found) => (
          <>
            <h3 className="point-head">
              {found.count === 0 ? t("session:checkpoint.same") : t("session:checkpoint.since", { count: found.count })}
            </h3>
            <DiffFiles diff={found} />
          </>
        )}
      </StateView>
    </>
  );
}

/** What takes a refusal of what was asked, and hands on all else that goes wrong. */
export const refusal = (take: (error: ApiError) => void) => (error: unknown): void => {
  if (!(error instanceof ApiError) || error.status !== 409) throw error;
  take(error);
};

export function Refusal({ error, listed }: { error: ApiError; listed: unknown }): ReactNode {
  const paths = names(Array.isArray(listed) ? listed : []);
  return (
    <Notice tone="bad">
      <Sentence text={error.message} />
      <ul className="point-paths">{paths.map((path) => <li key={path}><code>{path}</code></li>)}</ul>
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
              {entry.added === null ? <span className="muted">{t("session:checkpoint.notText")}</span> : null}
              <DiffCount file={{ added: entry.added ?? 0, removed: entry.deleted ?? 0 }} />
            </summary>
            {file === undefined ? <p className="muted">{t("session:checkpoint.tooLong")}</p> : <Changes file={file} />}
          </details>
        );
      })}
      {diff.count > FILES_SHOWN ? <p className="muted">{t("session:checkpoint.more", { count: diff.count - FILES_SHOWN })}</p> : null}
    </div>
  );
}
