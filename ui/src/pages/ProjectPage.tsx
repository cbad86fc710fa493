import { type ReactNode, useEffect } from "react";
import { api } from "../api/client.ts";
import type { Project, Session } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { BranchIcon, CageIcon, MoreIcon, PlusIcon, QuestionIcon, RemoveIcon } from "../design/icons.tsx";
import { Badge, Dot, Empty, Notice, Skeleton } from "../design/parts.tsx";
import { MenuItem, Popover } from "../design/Popover.tsx";
import { Header } from "../shell/Header.tsx";
import { overlay } from "../shell/overlay.ts";
import { dotState, useNewSession } from "../shell/RailProject.tsx";
import { go, linkTo, sessionPlace } from "../state/router.ts";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { toast, toastError } from "../state/toasts.ts";
import { findProject, me, refreshProjects, workspace } from "../state/workspace.ts";
import { when } from "../text/format.ts";
import { withinProject } from "../text/paths.ts";
import { ProjectMembersSection } from "./ProjectMembers.tsx";
import { ProjectNetworkSection } from "./ProjectNetwork.tsx";
import { Sentence } from "../design/Sentence.tsx";

export function ProjectPage({ slug, onMenu }: { slug: string; onMenu: () => void }): ReactNode {
  const space = useStore(workspace);
  const project = findProject(space, slug);
  const sessions = space.sessions[slug]?.items ?? [];
  const { start, busy } = useNewSession(slug);
  const lacking = lacks(project, "editor");
  const self = useStore(me);
  // The project file may have changed on disk since the list was read.
  useEffect(() => void refreshProjects().catch(() => {}), [slug]);

  if (project === null) {
    return (
      <>
        <Header title={slug} onMenu={onMenu} />
        {space.loaded ? (
          <Empty icon={<QuestionIcon size={26} />} title="No such project">
            <p>
              <code>{slug}</code> is not loaded here. Load its folder from the menu on the left.
            </p>
          </Empty>
        ) : (
          <div className="page" tabIndex={0}>
            <Skeleton lines={5} />
          </div>
        )}
      </>
    );
  }
  return (
    <>
      <Header title={project.slug} below={<div className="header-path ellipsis">{project.path}</div>} onMenu={onMenu}>
        <ProjectMenu project={project} onApart={() => start("worktree")} />
        <Button look="primary" onClick={() => start()} busy={busy} disabled={lacking !== null} title={lacking ?? undefined}>
          {busy ? null : <PlusIcon size={15} aria-hidden />} New session
        </Button>
      </Header>
      <div className="page" tabIndex={0}>
        <div className="page-column">
          <Trust project={project} />
          {project.description ? <p className="lead">{project.description}</p> : null}
          <section className="card facts" aria-label="Project">
            <Fact name="Model">{project.route?.label ?? project.model ?? "none"}</Fact>
            <Fact name="Cage">
              <span className="fact-cage">
                <CageIcon size={15} aria-hidden />{" "}
                {project.cage?.words ?? "Not known until the project file is in order"}
              </span>
              {project.cage === null ? null : (
                <ul>
                  {project.cage.explain.map((line) => (
                    <li key={line}>
                      <Sentence text={withinProject(line, project.path)} />
                    </li>
                  ))}
                </ul>
              )}
            </Fact>
          </section>
          <ProjectNetworkSection project={project} />
          {self?.mode === "system" && project.role === "owner" ? <ProjectMembersSection project={project} /> : null}
          <h2 className="page-title">Sessions</h2>
          {sessions.length === 0 ? (
            <p className="muted">No session yet. The first message of a new one starts the agent.</p>
          ) : (
            <ul role="list" className="card list">
              {sessions.map((session) => (
                <SessionLine key={session.id} session={session} />
              ))}
            </ul>
          )}
        </div>
      </div>
    </>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }): ReactNode {
  return (
    <div className="fact">
      <div className="fact-name">{name}</div>
      <div className="fact-value">{children}</div>
    </div>
  );
}

function Trust({ project }: { project: Project }): ReactNode {
  if (project.problems.length > 0) {
    return (
      <Notice tone="bad">
        The project file needs attention before an agent can run:
        <ul className="problems">
          {project.problems.map((problem) => (
            <li key={problem}>
              <Sentence text={problem} />
            </li>
          ))}
        </ul>
      </Notice>
    );
  }
  if (project.trust === "trusted") return null;
  return (
    <Notice tone="accent">
      <div className="notice-line">
        <span className="grow">
          {project.trust === "changed"
            ? "The project file or a prompt changed since it was trusted."
            : "This project is not trusted yet."}{" "}
          Nothing of it runs until you have looked at it.
        </span>
        <Button small onClick={() => overlay.set({ kind: "trust", slug: project.slug })}>
          Review
        </Button>
      </div>
    </Notice>
  );
}

function ProjectMenu({ project, onApart }: { project: Project; onApart: () => void }): ReactNode {
  const forget = async (): Promise<void> => {
    try {
      await api.forgetProject(project.slug);
      await refreshProjects();
      go({ page: "home" });
      toast(`${project.slug} is forgotten. Its files are where they were.`);
    } catch (error) {
      toastError(error);
    }
  };
  return (
    <Popover
      end
      menu
      label="Project"
      anchor={(attributes) => (
        <IconButton label="More" {...attributes}>
          <MoreIcon size={17} />
        </IconButton>
      )}
    >
      {(close) => (
        <>
          <MenuItem
            icon={<BranchIcon size={15} />}
            data-testid="new-apart"
            disabled={lacks(project, "editor") !== null}
            title={lacks(project, "editor") ?? undefined}
            onClick={() => {
              close();
              onApart();
            }}
          >
            New session in its own worktree
          </MenuItem>
          <MenuItem
            icon={<CageIcon size={15} />}
            onClick={() => {
              close();
              overlay.set({ kind: "trust", slug: project.slug });
            }}
          >
            Review its files
          </MenuItem>
          {me.get()?.role === "admin" ? (
            <MenuItem
              icon={<RemoveIcon size={15} />}
              onClick={() => {
                close();
                void forget();
              }}
            >
              Forget (files stay)
            </MenuItem>
          ) : null}
        </>
      )}
    </Popover>
  );
}

function SessionLine({ session }: { session: Session }): ReactNode {
  const state = dotState(session);
  return (
    <li>
      <a className="list-line" {...linkTo(sessionPlace(session.project, session.id))}>
        <Dot state={state} />
        <span className="grow ellipsis">{session.title || "Untitled session"}</span>
        {state === "idle" ? null : <Badge tone={state === "interrupted" ? "bad" : "accent"}>{state}</Badge>}
        <time className="muted" dateTime={session.updated_at}>
          {when(session.updated_at)}
        </time>
      </a>
    </li>
  );
}
