import { type ComponentType, lazy, type ReactNode, Suspense, useEffect } from "react";
import { api } from "../api/client.ts";
import type { Me, Project } from "../api/types.ts";
import { Button, IconButton } from "../design/Button.tsx";
import { BranchIcon, CageIcon, MoreIcon, PlusIcon, QuestionIcon, RemoveIcon } from "../design/icons.tsx";
import { Menu, type MenuEntry } from "../design/Menu.tsx";
import { Empty, Notice, Skeleton } from "../design/parts.tsx";
import { Sentences } from "../design/Sentence.tsx";
import { Strip } from "../design/Strip.tsx";
import { t } from "../i18n/index.ts";
import { Header } from "../shell/Header.tsx";
import { overlay } from "../shell/overlay.ts";
import { useStart } from "../shell/RailProject.tsx";
import { lacks } from "../state/rights.ts";
import { go, linkTo, type Place, type Tab, TABS } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { toast, toastError } from "../state/toasts.ts";
import { findProject, me, refreshProjects, workspace } from "../state/workspace.ts";

type ProjectPlace = Extract<Place, { page: "project" }>;

/** What a tab is given. One that takes a file as well finds it in `place`. */
export interface TabProps {
  project: Project;
  place: ProjectPlace;
}

/** Every tab has its line here. */
const CONTENT: { readonly [tab in Tab]: ComponentType<TabProps> } = {
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
  return TABS.filter((tab) => tab !== "members" || people);
}

export function ProjectPage({ place }: { place: ProjectPlace }): ReactNode {
  const slug = place.project;
  const space = useStore(workspace);
  const self = useStore(me);
  const project = findProject(space, slug);
  const { start, busy } = useStart();
  const lacking = lacks(project, "editor");
  // The project file may have changed on disk since the list was read.
  useEffect(() => void refreshProjects().catch(() => {}), [slug]);

  if (project === null) return <><Header title={slug} /><Unknown slug={slug} loaded={space.loaded} /></>;
  const [tab, tabs] = [place.tab ?? "sessions", tabsOf(project, self)];
  const Content = CONTENT[tab];
  const content = tabs.includes(tab) ? <Content key={tab} project={project} place={place} /> : (
    <Empty icon={<QuestionIcon size={26} />} title={t("project:noTab")} words={t("project:noTabWhy")} />
  );
  return (
    <>
      <Header title={project.slug} below={<div className="header-path ellipsis">{project.path}</div>}>
        <ProjectMenu project={project} onApart={() => start(slug, "worktree")} />
        <Button look="primary" onClick={() => start(slug)} busy={busy} disabled={lacking !== null} title={lacking ?? undefined}>
          {busy ? null : <PlusIcon size={15} />} {t("project:newSession")}
        </Button>
      </Header>
      <Strip label={t("places:parts", { project: project.slug })} items={tabs} current={tab}
        words={(item) => t(`places:tab.${item}`)} placeOf={(item) => ({ page: "project", project: slug, tab: item })} />
      <Suspense fallback={<Skeleton lines={5} />}>
        {WHOLE.has(tab) && tabs.includes(tab) ? content : (
          <div className="page" tabIndex={0} key={tab}>
            <div className="page-column"><Trust project={project} />{content}</div>
          </div>
        )}
      </Suspense>
    </>
  );
}

function Unknown({ slug, loaded }: { slug: string; loaded: boolean }): ReactNode {
  if (!loaded) return <div className="page" tabIndex={0}><Skeleton lines={5} /></div>;
  const words = t("project:unknownWhy", { project: slug });
  return (
    <Empty icon={<QuestionIcon size={26} />} title={t("project:unknown")} words={words}>
      <a className="button" {...linkTo({ page: "home" })}>{t("project:goHome")}</a>
    </Empty>
  );
}

function Trust({ project: { problems, trust, slug } }: { project: Project }): ReactNode {
  if (problems.length > 0)
    return <Notice tone="bad">{t("project:problems")}<Sentences of={problems} className="problems" /></Notice>;
  if (trust === "trusted") return null;
  const review = <Button small onClick={() => overlay.set({ kind: "trust", slug })}>{t("project:review")}</Button>;
  return <Notice tone="accent" act={review}>{t(`project:trust.${trust}`)}</Notice>;
}

function ProjectMenu({ project, onApart }: { project: Project; onApart: () => void }): ReactNode {
  const { slug } = project;
  const forget = async (): Promise<void> => {
    await api.forgetProject(slug);
    await refreshProjects();
    go({ page: "home" });
    toast(t("project:forgotten", { project: slug }));
  };
  const entry = (id: string, label: string, icon: ReactNode, onSelect: () => void): MenuEntry => ({ id, label, icon, onSelect });
  const apart = entry("apart", t("project:newApart"), <BranchIcon size={15} />, onApart);
  const review = (): void => overlay.set({ kind: "trust", slug });
  const entries = [
    { ...apart, testid: "new-apart", lacking: lacks(project, "editor") },
    entry("review", t("project:reviewFiles"), <CageIcon size={15} />, review),
  ];
  if (me.get()?.role === "admin")
    entries.push(entry("forget", t("project:forget"), <RemoveIcon size={15} />, () => void forget().catch(toastError)));
  return (
    <Menu end label={t("project:menu")} groups={[entries]}
      anchor={(attributes) => <IconButton label={t("project:more")} {...attributes}><MoreIcon size={17} /></IconButton>} />
  );
}
