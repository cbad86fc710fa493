import type { ReactNode } from "react";
import { api } from "../api/client.ts";
import type { Project, Session } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { PlusIcon } from "../design/icons.tsx";
import { Dot } from "../design/parts.tsx";
import { useWork } from "../design/work.ts";
import { t } from "../i18n/index.ts";
import { go, linkTo, type Place, sessionPlace } from "../state/router.ts";
import { lacks } from "../state/rights.ts";
import { toastError } from "../state/toasts.ts";
import { moreSessions, placeSession } from "../state/workspace.ts";
import { when } from "../text/format.ts";

interface RailProjectProps {
  project: Project;
  sessions: { items: Session[]; next: string | null } | undefined;
  place: Place;
}

/** What a session's dot says: its own state, or that its run was cut off. */
export function dotState(session: Session): string {
  if (session.state === "running" || session.state === "waiting" || session.state === "queued") return session.state;
  return session.run?.state === "interrupted" ? "interrupted" : "idle";
}

/** Makes a session in a project and goes there. */
export function useStart(): { start: (slug: string, workspace?: "worktree") => void; busy: boolean } {
  const { busy, run } = useWork(toastError);
  const make = async (slug: string, workspace?: "worktree"): Promise<void> => {
    const session = await api.createSession(slug, workspace === undefined ? {} : { workspace });
    placeSession(session);
    go(sessionPlace(slug, session.id));
  };
  return { busy, start: (...where) => void run(() => make(...where)) };
}

export function RailProject({ project, sessions, place }: RailProjectProps): ReactNode {
  const { start, busy } = useStart();
  const lacking = lacks(project, "editor");
  const here = "project" in place && place.project === project.slug;
  return (
    <section className="rail-project" aria-label={t("shell:project", { project: project.slug })}>
      <div className="rail-title">
        <a className="ellipsis" {...linkTo({ page: "project", project: project.slug })}
          aria-current={here && place.page === "project" ? "page" : undefined} title={project.path}>
          {project.slug}
        </a>
        {project.trust === "trusted" && project.problems.length === 0 ? null : (
          <span className="rail-flag">
            {t(`shell:flag.${project.problems.length > 0 || project.trust === "trusted" ? "problem" : project.trust}`)}
          </span>
        )}
        <IconButton small label={lacking ?? t("shell:new_session", { project: project.slug })}
          onClick={() => start(project.slug)} busy={busy} disabled={lacking !== null}>
          {busy ? null : <PlusIcon size={15} />}
        </IconButton>
      </div>
      <ul role="list">
        {sessions?.items.map((session) => (
          <RailSession key={session.id} session={session}
            current={here && place.page === "session" && place.session === session.id} />
        ))}
      </ul>
      {sessions?.next ? (
        <Button small look="ghost" className="rail-more"
          onClick={() => void moreSessions(project.slug).catch(toastError)}>
          {t("shell:older")}
        </Button>
      ) : null}
    </section>
  );
}

function RailSession({ session, current }: { session: Session; current: boolean }): ReactNode {
  const state = dotState(session);
  const words = state === "idle" ? undefined : t(`shell:state.${state}` as "shell:state.running");
  return (
    <li>
      <a className="rail-session" data-testid="session-item" data-state={state}
        aria-current={current ? "page" : undefined} {...linkTo(sessionPlace(session.project, session.id))}>
        <Dot state={state} label={words} />
        <span className="ellipsis grow">{session.title || t("shell:untitled")}</span>
        <time dateTime={session.updated_at}>{when(session.updated_at)}</time>
      </a>
    </li>
  );
}
