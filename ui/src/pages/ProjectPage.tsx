import { type ComponentType, lazy, type ReactNode, Suspense, useEffect } from "react";
import { api } from "../api/client.ts";
import type { Me, Project } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { BranchIcon, CageIcon, MoreIcon, PlusIcon, QuestionIcon, RemoveIcon } from "../design/icons.tsx";
import { Empty, Notice, Skeleton } from "../design/parts.tsx";
import { MenuItem, Popover } from "../design/Popover.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { t } from "../i18n/index.ts";
import { Header } from "../shell/Header.tsx";
import { overlay } from "../shell/overlay.ts";
import { useNewSession } from "../shell/RailProject.tsx";
import { go, linkTo, type Place, type Tab, TABS } from "../state/router.ts";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { toast, toastError } from "../state/toasts.ts";
import { findProject, me, refreshProjects, workspace } from "../state/workspace.ts";
import { Strip } from "./Strip.tsx";

type ProjectPlace = Extract<Place, { page: "project" }>;

/** What a tab is given. One that takes a file as well finds it in `place`. */
export interface TabProps {
  project: Project;
  place: ProjectPlace;
}

/** The tabs that there are; a line adds one. */
const CONTENT: { readonly [tab in Tab]?: ComponentType<TabProps> } = {
  sessions: lazy(() => import("./project/Sessions.tsx")),
  tasks: lazy(() => import("./project/Tasks.tsx")),
  terminals: lazy(() => import("./TerminalList.tsx")),
  files: lazy(() => import("./project/Files.tsx")),
  changes: lazy(() => import("./project/Changes.tsx")),
  prompts: lazy(() => import("./project/Prompts.tsx")),
  policy: lazy(() => import("./project/Policy.tsx")),
  members: lazy(() => import("./project/Members.tsx")),
};

/** Those that fill the page themselves. */
const WHOLE: ReadonlySet<Tab> = new Set(["files", "changes"]);

/** The tabs that a reader has: members are for owners, where there is more than one person. */
export function tabsOf(project: Project, self: Me | null): Tab[] {
  const people = self?.mode === "system" && project.role === "owner";
  return TABS.filter((tab) => CONTENT[tab] !== undefined && (tab !== "members" || people));
}

export function ProjectPage({ place, onMenu }: { place: ProjectPlace; onMenu: () => void }): ReactNode {
  const slug = place.project;
  const space = useStore(workspace);
  const self = useStore(me);
  const project = findProject(space, slug);
  const { start, busy } = useNewSession(slug);
  const lacking = lacks(project, "editor");
  // The project file may have changed on disk since the list was read.
  useEffect(() => void refreshProjects().catch(() => {}), [slug]);

  if (project === null) {
    return (
      <>
        <Header title={slug} onMenu={onMenu} />
        {space.loaded ? (
          <Empty icon={<QuestionIcon size={26} />} title={t("project:unknown")}>
            <p>
              <Sentence text={t("project:unknownWhy", { project: slug })} />
            </p>
            <a className="button" {...linkTo({ page: "home" })}>
              {t("project:goHome")}
            </a>
          </Empty>
        ) : (
          <div className="page" tabIndex={0}>
            <Skeleton lines={5} />
          </div>
        )}
      </>
    );
  }
  const [tab, tabs] = [place.tab ?? "sessions", tabsOf(project, self)];
  const Content = tabs.includes(tab) ? CONTENT[tab] : undefined;
  return (
    <>
      <Header title={project.slug} below={<div className="header-path ellipsis">{project.path}</div>} onMenu={onMenu}>
        <ProjectMenu project={project} onApart={() => start("worktree")} />
        <Button look="primary" onClick={() => start()} busy={busy} disabled={lacking !== null} title={lacking ?? undefined}>
          {busy ? null : <PlusIcon size={15} aria-hidden />} {t("project:newSession")}
        </Button>
      </Header>
      <Strip
        label={t("places:parts", { project: project.slug })}
        items={tabs}
        current={tab}
        words={(item) => t(`places:tab.${item}`)}
        placeOf={(item) => ({ page: "project", project: slug, tab: item })}
      />
      <Suspense fallback={<Skeleton lines={5} />}>
        {Content !== undefined && WHOLE.has(tab) ? (
          <Content key={tab} project={project} place={place} />
        ) : (
          <div className="page" tabIndex={0} key={tab}>
            <div className="page-column">
              <Trust project={project} />
              {Content === undefined ? <NoTab /> : <Content project={project} place={place} />}
            </div>
          </div>
        )}
      </Suspense>
    </>
  );
}

function NoTab(): ReactNode {
  return (
    <Empty icon={<QuestionIcon size={26} />} title={t("project:noTab")}>
      <p>{t("project:noTabWhy")}</p>
    </Empty>
  );
}

function Trust({ project }: { project: Project }): ReactNode {
  if (project.problems.length > 0) {
    return (
      <Notice tone="bad">
        {t("project:problems")}
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
        <span className="grow">{t(`project:trust.${project.trust}`)}</span>
        <Button small onClick={() => overlay.set({ kind: "trust", slug: project.slug })}>
          {t("project:review")}
        </Button>
      </div>
    </Notice>
  );
}

function ProjectMenu({ project, onApart }: { project: Project; onApart: () => void }): ReactNode {
  const lacking = lacks(project, "editor");
  const forget = async (): Promise<void> => {
    try {
      await api.forgetProject(project.slug);
      await refreshProjects();
      go({ page: "home" });
      toast(t("project:forgotten", { project: project.slug }));
    } catch (error) {
      toastError(error);
    }
  };
  return (
    <Popover
      end
      menu
      label={t("project:menu")}
      anchor={(attributes) => (
        <IconButton label={t("project:more")} {...attributes}>
          <MoreIcon size={17} />
        </IconButton>
      )}
    >
      {(close) => {
        const item = (icon: ReactNode, words: string, act: () => void, more = {}): ReactNode => (
          <MenuItem
            icon={icon}
            {...more}
            onClick={() => {
              close();
              act();
            }}
          >
            {words}
          </MenuItem>
        );
        const apart = { "data-testid": "new-apart", disabled: lacking !== null, title: lacking ?? undefined };
        return (
          <>
            {item(<BranchIcon size={15} />, t("project:newApart"), onApart, apart)}
            {item(<CageIcon size={15} />, t("project:reviewFiles"), () => overlay.set({ kind: "trust", slug: project.slug }))}
            {me.get()?.role === "admin" ? item(<RemoveIcon size={15} />, t("project:forget"), () => void forget()) : null}
          </>
        );
      }}
    </Popover>
  );
}
