import { type ReactNode, useState } from "react";
import type { Session } from "../../api/types.ts";
import { Button, IconButton } from "../../design/Button.tsx";
import { ArchiveIcon, TranscriptIcon } from "../../design/icons.tsx";
import { Badge, Dot, Empty, Select, Skeleton } from "../../design/parts.tsx";
import { useWork } from "../../design/work.ts";
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
const stateWords = (state: Shown): string => t(`project:sessions.states.${state}`);

/** The project's sessions, newest first; narrowed by title and by state. */
export default function Sessions({ project }: TabProps): ReactNode {
  const page = useStore(workspace).sessions[project.slug];
  const [words, setWords] = useState("");
  const [state, setState] = useState<Shown>("all");
  const { busy, run } = useWork(toastError);
  if (page === undefined) return <Skeleton lines={5} />;
  const wanted = words.trim().toLocaleLowerCase();
  const found = page.items.filter(
    (session) => (state === "all" || dotState(session) === state) && session.title.toLocaleLowerCase().includes(wanted),
  );
  if (page.items.length === 0)
    return <Empty icon={<TranscriptIcon size={26} />} title={t("project:sessions.none")} words={t("project:sessions.noneWhy")} />;
  return (
    <>
      <div className="controls" role="search">
        <input className="input" aria-label={t("project:sessions.filter")} placeholder={t("project:sessions.filter")}
          value={words} onChange={(event) => setWords(event.target.value)} />
        <Select label={t("project:sessions.state")} of={STATES} now={state} words={stateWords} onChoose={setState} />
      </div>
      {found.length === 0 ? <p className="muted">{t("project:sessions.noMatch", { count: page.items.length })}</p> : (
        <ul role="list" className="card list" data-testid="sessions">
          {found.map((session) => <Line key={session.id} session={session} lacking={lacks(project, "editor")} />)}
        </ul>
      )}
      {page.next === null ? null : (
        <Button busy={busy} onClick={() => void run(() => moreSessions(project.slug))}>{t("project:sessions.older")}</Button>
      )}
    </>
  );
}

function Line({ session, lacking }: { session: Session; lacking: string | null }): ReactNode {
  const { project, id, title, updated_at } = session;
  const state = dotState(session);
  const atWork = state === "running" || state === "waiting" || state === "queued";
  return (
    <li className="list-line" data-state={state}>
      <Dot state={state} />
      <a className="place-link ellipsis" {...linkTo(sessionPlace(project, id))}>{title || t("palette:untitled")}</a>
      {state === "idle" ? null : (
        <Badge tone={state === "interrupted" ? "bad" : "accent"}>{stateWords(state as Shown)}</Badge>
      )}
      <time className="muted" dateTime={updated_at} title={updated_at}>{ago(updated_at)}</time>
      <IconButton small label={lacking ?? t("project:sessions.archive", { title })} disabled={lacking !== null || atWork}
        onClick={() => void archive(project, id)}>
        <ArchiveIcon size={14} />
      </IconButton>
    </li>
  );
}
