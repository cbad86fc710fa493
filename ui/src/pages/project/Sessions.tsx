import { type ReactNode, useState } from "react";
import type { Session } from "../../api/types.ts";
import { Button, IconButton } from "../../design/Button.tsx";
import { ArchiveIcon, TranscriptIcon } from "../../design/icons.tsx";
import { Badge, Dot, Empty, Skeleton } from "../../design/parts.tsx";
import { t } from "../../i18n/index.ts";
import { archive } from "../../session/acts.ts";
import { dotState } from "../../shell/RailProject.tsx";
import { lacks } from "../../state/rights.ts";
import { linkTo, sessionPlace } from "../../state/router.ts";
import { useStore } from "../../state/store.ts";
import { toastError } from "../../state/toasts.ts";
import { moreSessions, workspace } from "../../state/workspace.ts";
import { ago } from "../../text/format.ts";
import type { TabProps } from "../ProjectPage.tsx";

const STATES = ["all", "running", "waiting", "queued", "interrupted", "idle"] as const;
type Shown = (typeof STATES)[number];

/** The project's sessions, newest first; narrowed by title and by state. */
export default function Sessions({ project }: TabProps): ReactNode {
  const page = useStore(workspace).sessions[project.slug];
  const [words, setWords] = useState("");
  const [state, setState] = useState<Shown>("all");
  const [busy, setBusy] = useState(false);
  if (page === undefined) return <Skeleton lines={5} />;
  const found = page.items.filter(
    (session) =>
      (state === "all" || dotState(session) === state) &&
      session.title.toLocaleLowerCase().includes(words.trim().toLocaleLowerCase()),
  );
  const more = (): void => {
    setBusy(true);
    void moreSessions(project.slug).catch(toastError).finally(() => setBusy(false));
  };
  if (page.items.length === 0)
    return (
      <Empty icon={<TranscriptIcon size={26} />} title={t("project:sessions.none")}>
        <p>{t("project:sessions.noneWhy")}</p>
      </Empty>
    );
  return (
    <>
      <div className="filters" role="search">
        <input
          className="input"
          aria-label={t("project:sessions.filter")}
          placeholder={t("project:sessions.filter")}
          value={words}
          onChange={(event) => setWords(event.target.value)}
        />
        <select
          className="select"
          aria-label={t("project:sessions.state")}
          value={state}
          onChange={(event) => setState(STATES.find((each) => each === event.target.value) ?? "all")}
        >
          {STATES.map((each) => (
            <option key={each} value={each}>
              {t(`project:sessions.states.${each}`)}
            </option>
          ))}
        </select>
      </div>
      {found.length === 0 ? <p className="muted">{t("project:sessions.noMatch", { count: page.items.length })}</p> : null}
      {found.length === 0 ? null : (
        <ul role="list" className="card list" data-testid="sessions">
          {found.map((session) => (
            <Line key={session.id} session={session} lacking={lacks(project, "editor")} />
          ))}
        </ul>
      )}
      {page.next === null ? null : (
        <Button busy={busy} onClick={more}>
          {t("project:sessions.older")}
        </Button>
      )}
    </>
  );
}

function Line({ session, lacking }: { session: Session; lacking: string | null }): ReactNode {
  const state = dotState(session);
  const atWork = state === "running" || state === "waiting" || state === "queued";
  return (
    <li className="list-line" data-state={state}>
      <Dot state={state} />
      <a className="place-link ellipsis" {...linkTo(sessionPlace(session.project, session.id))}>
        {session.title || t("palette:untitled")}
      </a>
      {state === "idle" ? null : (
        <Badge tone={state === "interrupted" ? "bad" : "accent"}>{t(`project:sessions.states.${state as Shown}`)}</Badge>
      )}
      <time className="muted" dateTime={session.updated_at} title={session.updated_at}>
        {ago(session.updated_at)}
      </time>
      <IconButton
        small
        label={lacking ?? t("project:sessions.archive", { title: session.title })}
        disabled={lacking !== null || atWork}
        onClick={() => void archive(session.project, session.id)}
      >
        <ArchiveIcon size={14} />
      </IconButton>
    </li>
  );
}
