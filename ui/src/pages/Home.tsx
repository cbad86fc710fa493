import { type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { Project, Question, Session } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { ApprovalIcon, ChevronIcon, PlusIcon, QuestionIcon } from "../design/icons.tsx";
import { Line, List } from "../design/List.tsx";
import { Menu } from "../design/Menu.tsx";
import { Badge, Dot, Problem, Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { approvalOf } from "../journal/approval.ts";
import { Header } from "../shell/Header.tsx";
import { useStart } from "../shell/RailProject.tsx";
import { lacks } from "../state/rights.ts";
import { go, linkTo, type Place, sessionPlace } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { findSession, placeSession, workspace, type Workspace } from "../state/workspace.ts";
import { when } from "../text/format.ts";
import { UsageToday } from "../usage/Today.tsx";
import { type Desk, deskOf } from "./desk.ts";
import { FirstSteps } from "./FirstSteps.tsx";

/** What needs the reader, what runs, what ended. Before anything ever ran: the sample's session, else how to begin. */
export function Home(): ReactNode {
  const space = useStore(workspace);
  const [problem, setProblem] = useState<string | null>(null);
  const desk = deskOf(space);
  const fresh = space.loaded && desk.fresh;
  const sample = fresh ? sampleOf(space) : undefined;
  useEffect(() => {
    if (sample === undefined) return undefined;
    let current = true;
    sessionOf(sample, space).then(
      (place) => current && go(place, "replace"),
      (error: unknown) => current && setProblem(sentence(error)),
    );
    return () => {
      current = false;
    };
  }, [space, sample]);
  const leaving = sample !== undefined && problem === null;
  return (
    <>
      <Header title={t("home:title")}>{space.projects.length === 0 ? null : <NewSession space={space} />}</Header>
      <div className="page" tabIndex={0} data-testid="home">
        <Problem text={problem} />
        {!space.loaded || leaving ? (
          <Skeleton lines={6} />
        ) : fresh ? (
          <FirstSteps space={space} />
        ) : (
          <Today desk={desk} space={space} />
        )}
      </div>
    </>
  );
}

/** The sample is where a first reader can do something at once. */
function sampleOf(space: Workspace): Project | undefined {
  return space.projects.find((project) => project.sample && lacks(project, "editor") === null);
}

async function sessionOf(sample: Project, space: Workspace): Promise<Place> {
  const known = space.sessions[sample.slug]?.items.at(-1);
  if (known !== undefined) return sessionPlace(sample.slug, known.id);
  // The same key for every tab: two of them opened at once make one session.
  const made = await api.createSession(sample.slug, { title: t("home:first_look") }, `first-look-${sample.slug}`);
  placeSession(made);
  return sessionPlace(sample.slug, made.id);
}

function Today({ desk: { running, ended }, space: { attention }, space }: { desk: Desk; space: Workspace }): ReactNode {
  const all = (
    <a className="desk-more" {...linkTo({ page: "approvals" })}>
      {t("home:needs_all")}
    </a>
  );
  const waits = attention.length === 0 ? null : <span className="count accent">{attention.length}</span>;
  const runs = running.length === 0 ? null : <span className="count">{running.length}</span>;
  return (
    <div className="desk">
      <div className="desk-now">
        <Part
          title={t("home:needs")}
          count={waits}
          none={t("home:none_waits")}
          more={attention.length < 2 ? null : all}
        >
          {attention.map((item) => (
            <Needed key={item.id} item={item} space={space} />
          ))}
        </Part>
        <Part title={t("home:runs")} count={runs} none={t("home:no_runs")}>
          {running.map((session) => (
            <Work key={session.id} session={session} state={session.state} />
          ))}
        </Part>
      </div>
      <Part
        title={t("home:ended")}
        none={t("home:none_ended")}
        more={<UsageToday about={ended.map(({ updated_at }) => updated_at).join()} />}
      >
        {ended.map((session) => (
          <Work key={session.id} session={session} state={session.run?.state ?? ""} />
        ))}
      </Part>
    </div>
  );
}

interface PartProps {
  title: string;
  count?: ReactNode;
  more?: ReactNode;
  /** Said where there is nothing. */
  none: string;
  children: ReactNode[];
}

function Part({ title, count, more, none, children }: PartProps): ReactNode {
  return (
    <section>
      <div className="desk-head">
        <h2>{title}</h2>
        {count}
        <span className="grow" />
        {more}
      </div>
      {children.length === 0 ? <p className="desk-none">{none}</p> : <List label={title}>{children}</List>}
    </section>
  );
}

function Needed({ item, space }: { item: Question; space: Workspace }): ReactNode {
  const approval = approvalOf(item.approval);
  const session = findSession(space, item.project, item.session)?.title || t("shell:untitled");
  return (
    <Line
      testid="needs"
      to={sessionPlace(item.project, item.session, item.id)}
      below={`${session} · ${item.project}`}
      lead={approval === null ? <QuestionIcon size={16} /> : <ApprovalIcon size={16} />}
      title={approval === null ? item.question : <code>{approval.subject.split("\n", 1)[0]}</code>}
    >
      <time dateTime={item.created_at}>{when(item.created_at)}</time>
    </Line>
  );
}

const DOTS: Readonly<Record<string, string>> = { succeeded: "ok", failed: "failed", interrupted: "interrupted" };

function Work({ session, state }: { session: Session; state: string }): ReactNode {
  const bad = state === "failed" || state === "interrupted";
  const words = t(`home:state.${state}` as "home:state.running");
  return (
    <Line
      testid="work"
      to={sessionPlace(session.project, session.id)}
      lead={<Dot state={DOTS[state] ?? state} />}
      title={session.title || t("shell:untitled")}
      below={[session.project, session.run?.model].filter(Boolean).join(" · ")}
    >
      {bad ? <Badge tone="bad">{words}</Badge> : <span className="muted">{words}</span>}
      <time dateTime={session.updated_at}>{when(session.updated_at)}</time>
    </Line>
  );
}

function NewSession({ space }: { space: Workspace }): ReactNode {
  const projects = space.projects.filter((project) => lacks(project, "editor") === null);
  const { start, busy } = useStart();
  const [only] = projects;
  if (only === undefined) return null;
  const button = { look: "primary", busy } as const;
  const words = (
    <>
      <PlusIcon size={15} /> {t("home:new")}
    </>
  );
  if (projects.length === 1)
    return (
      <Button {...button} onClick={() => start(only.slug)}>
        {words}
      </Button>
    );
  return (
    <Menu
      end
      label={t("home:in")}
      anchor={(attributes) => (
        <Button {...button} {...attributes}>
          {words} <ChevronIcon size={14} />
        </Button>
      )}
      groups={[projects.map(({ slug }) => ({ id: slug, label: slug, onSelect: () => start(slug) }))]}
    />
  );
}
