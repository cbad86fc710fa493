import { type ReactNode, useState } from "react";
import { api } from "../api/client.ts";
import type { Project, Session } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { PlusIcon } from "../design/icons.tsx";
import { Dot } from "../design/parts.tsx";
import { go, linkTo, type Place, sessionPlace } from "../state/router.ts";
import { toastError } from "../state/toasts.ts";
import { lacks } from "../state/rights.ts";
import { moreSessions, placeSession } from "../state/workspace.ts";
import { when } from "../text/format.ts";

interface RailProjectProps {
  project: Project;
  sessions: { items: Session[]; next: string | null } | undefined;
  place: Place;
}

const STATE_WORDS: Readonly<Record<string, string>> = {
  running: "Running",
  waiting: "Waiting for you",
  queued: "Waits for a free place",
  interrupted: "Interrupted",
};

/** What a session's dot says: its own state, or that its run was cut off. */
export function dotState(session: Session): string {
  if (session.state === "running" || session.state === "waiting" || session.state === "queued") return session.state;
  return session.run?.state === "interrupted" ? "interrupted" : "idle";
}

export function useNewSession(slug: string): { start: (workspace?: "worktree") => void; busy: boolean } {
  const [busy, setBusy] = useState(false);
  const start = (workspace?: "worktree"): void => {
    setBusy(true);
    api
      .createSession(slug, workspace === undefined ? {} : { workspace })
      .then((session) => {
        placeSession(session);
        go(sessionPlace(slug, session.id));
      })
      .catch(toastError)
      .finally(() => setBusy(false));
  };
  return { start, busy };
}

export function RailProject({ project, sessions, place }: RailProjectProps): ReactNode {
  const { start, busy } = useNewSession(project.slug);
  const lacking = lacks(project, "editor");
  const here = "project" in place && place.project === project.slug;
  return (
    <section className="rail-project" aria-label={`Project ${project.slug}`}>
      <div className="rail-title">
        <a
          className="ellipsis"
          {...linkTo({ page: "project", project: project.slug })}
          aria-current={here && place.page === "project" ? "page" : undefined}
          title={project.path}
        >
          {project.slug}
        </a>
        {project.trust === "trusted" && project.problems.length === 0 ? null : (
          <span className="rail-flag">{project.problems.length > 0 ? "problem" : project.trust}</span>
        )}
        <IconButton
          small
          label={lacking ?? `New session in ${project.slug}`}
          onClick={() => start()}
          busy={busy}
          disabled={lacking !== null}
        >
          {busy ? null : <PlusIcon size={15} />}
        </IconButton>
      </div>
      <ul role="list">
        {sessions?.items.map((session) => (
          <RailSession
            key={session.id}
            session={session}
            current={here && place.page === "session" && place.session === session.id}
          />
        ))}
      </ul>
      {sessions?.next ? (
        <Button
          small
          look="ghost"
          className="rail-more"
          onClick={() => void moreSessions(project.slug).catch(toastError)}
        >
          Older sessions
        </Button>
      ) : null}
    </section>
  );
}

function RailSession({ session, current }: { session: Session; current: boolean }): ReactNode {
  const state = dotState(session);
  const words = STATE_WORDS[state];
  return (
    <li>
      <a
        className="rail-session"
        data-testid="session-item"
        data-state={state}
        aria-current={current ? "page" : undefined}
        {...linkTo(sessionPlace(session.project, session.id))}
      >
        {words === undefined ? <Dot state={state} /> : <Dot state={state} label={words} />}
        <span className="ellipsis grow">{session.title || "Untitled session"}</span>
        <time dateTime={session.updated_at}>{when(session.updated_at)}</time>
      </a>
    </li>
  );
}
