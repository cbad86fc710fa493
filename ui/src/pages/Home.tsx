import { type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { Project, Question, Session } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { ApprovalIcon, ChevronIcon, PlusIcon, QuestionIcon } from "../design/icons.tsx";
import { Line, List } from "../design/List.tsx";
import { Menu } from "../design/Menu.tsx";
import { Badge, Dot, Notice, Skeleton } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
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
import { FirstSteps } from "./FirstSteps.tsx";
import { type Desk, deskOf } from "./desk.ts";

/** What needs the reader, what runs, what ended. Before anything ever ran: the sample's session, else how to begin. */
export function Home({ onMenu }: { onMenu: () => void }): ReactNode {
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
  return (
    <>
      <Header title={t("home:title")} onMenu={onMenu}>
        {space.projects.length === 0 ? null : <NewSession space={space} />}
      </Header>
      <div className="page" tabIndex={0} data-testid="home">
        {problem === null ? null : (
          <Notice tone="bad">
            <Sentence text={problem} />
          </Notice>
        )}
        {!space.loaded || (sample !== undefined && problem === null) ? <Skeleton lines={6} /> : fresh ? <FirstSteps space={space} /> : <Today desk={desk} space={space} />}
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

function Today({ desk, space }: { desk: Desk; space: Workspace }): ReactNode {
  return (
    <div className="desk">
      <div className="desk-now">
        <section>
          <SectionHead title={t("home:needs")} count={space.attention.length} accent>
            {space.attention.length < 2 ? null : <a className="desk-more" {...linkTo({ page: "approvals" })}>{t("home:needs_all")}</a>}
          </SectionHead>
          {space.attention.length === 0 ? <p className="desk-none">{t("home:none_waits")}</p> : (
            <List label={t("home:needs")}>
              {space.attention.map((item) => <Needed key={item.id} item={item} space={space} />)}
            </List>
          )}
        </section>
        <section>
          <SectionHead title={t("home:runs")} count={desk.running.length} />
          {desk.running.length === 0 ? <p className="desk-none">{t("home:no_runs")}</p> : (
            <List label={t("home:runs")}>
              {desk.running.map((session) => <Work key={session.id} session={session} state={session.state} />)}
            </List>
          )}
        </section>
      </div>
      <section>
        <SectionHead title={t("home:ended")}>
          <UsageToday about={desk.ended.map(({ updated_at }) => updated_at).join()} />
        </SectionHead>
        {desk.ended.length === 0 ? <p className="desk-none">{t("home:none_ended")}</p> : (
          <List label={t("home:ended")}>
            {desk.ended.map((session) => <Work key={session.id} session={session} state={session.run?.state ?? ""} />)}
          </List>
        )}
      </section>
    </div>
  );
}

function SectionHead({ title, count = 0, accent, children }: {
  title: string; count?: number; accent?: boolean; children?: ReactNode;
}): ReactNode {
  return (
    <div className="desk-head">
      <h2>{title}</h2>
      {count === 0 ? null : <span className={accent ? "count accent" : "count"}>{count}</span>}
      <span className="grow" />
      {children}
    </div>
  );
}

function Needed({ item, space }: { item: Question; space: Workspace }): ReactNode {
  const approval = approvalOf(item.approval);
  const session = findSession(space, item.project, item.session)?.title || t("shell:untitled");
  return (
    <Line
      testid="needs"
      to={sessionPlace(item.project, item.session, item.id)}
      lead={approval === null ? <QuestionIcon size={16} aria-hidden /> : <ApprovalIcon size={16} aria-hidden />}
      title={approval === null ? item.question : <code>{approval.subject.split("\n", 1)[0]}</code>}
      below={`${session} · ${item.project}`}
    >
      <time dateTime={item.created_at}>{when(item.created_at)}</time>
    </Line>
  );
}

const DOTS: Readonly<Record<string, string>> = { succeeded: "ok", failed: "failed", interrupted: "interrupted" };

function Work({ session, state }: { session: Session; state: string }): ReactNode {
  const bad = state === "failed" || state === "interrupted";
  return (
    <Line
      testid="work"
      to={sessionPlace(session.project, session.id)}
      lead={<Dot state={DOTS[state] ?? state} />}
      title={session.title || t("shell:untitled")}
      below={[session.project, session.run?.model].filter(Boolean).join(" · ")}
    >
      {bad ? <Badge tone="bad">{t(`home:state.${state}`)}</Badge> : <span className="muted">{t(`home:state.${state}` as "home:state.running")}</span>}
      <time dateTime={session.updated_at}>{when(session.updated_at)}</time>
    </Line>
  );
}

function NewSession({ space }: { space: Workspace }): ReactNode {
  const projects = space.projects.filter((project) => lacks(project, "editor") === null);
  const { start, busy } = useStart();
  const [only] = projects;
  if (only === undefined) return null;
  const plus = <PlusIcon size={15} aria-hidden />;
  if (projects.length === 1)
    return <Button look="primary" busy={busy} onClick={() => start(only.slug)}>{plus} {t("home:new")}</Button>;
  return (
    <Menu
      end
      label={t("home:in")}
      anchor={(attributes) => <Button look="primary" busy={busy} {...attributes}>{plus} {t("home:new")} <ChevronIcon size={14} aria-hidden /></Button>}
      groups={[projects.map(({ slug }) => ({ id: slug, label: slug, onSelect: () => start(slug) }))]}
    />
  );
}
