import { lazy, type ReactNode, Suspense, useEffect, useMemo, useRef } from "react";
import { useKeys } from "../design/hooks.ts";
import { Empty, Skeleton } from "../design/parts.tsx";
import { QuestionIcon } from "../design/icons.tsx";
import { currentRun, isActive, openQuestion, type Transcript } from "../journal/model.ts";
import { t } from "../i18n/index.ts";
import { Header } from "../shell/Header.tsx";
import { liveSession } from "../state/live.ts";
import { linkTo, type Place } from "../state/router.ts";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { nameTab } from "../state/title.ts";
import { findProject, findSession, workspace } from "../state/workspace.ts";
import { interrupt } from "./acts.ts";
import { SessionContext } from "./context.ts";
import { Dock } from "./Dock.tsx";
import { Inspector } from "./inspector/Inspector.tsx";
import { GateCard } from "./network/GateCard.tsx";
import { NowLine } from "./NowLine.tsx";
import { panel } from "./panel.ts";
import { SessionHeader } from "./SessionHeader.tsx";
import { TranscriptView } from "./TranscriptView.tsx";

const TerminalView = lazy(() => import("../terminal/SessionTerminals.tsx"));

const ESCAPE_TWICE_MS = 600;

interface SessionPageProps {
  place: Extract<Place, { page: "session" }>;
}

export function SessionPage({ place }: SessionPageProps): ReactNode {
  const { project: slug, session: id } = place;
  const live = useMemo(() => liveSession(slug, id), [slug, id]);
  useEffect(() => live.enter(), [live]);
  const { transcript, ready, refused } = useStore(live.state);
  const space = useStore(workspace);
  const project = findProject(space, slug);
  const session = findSession(space, slug, id);
  const run = currentRun(transcript);
  const active = isActive(run);
  const root = project?.path ?? "";
  const title = transcript.title || session?.title || "";
  const [readOnly, noPolicy] = [lacks(project, "editor"), lacks(project, "owner")];
  const parts = [slug, id, root, live, readOnly, noPolicy] as const;
  const scope = useMemo(() => ({ project: slug, session: id, root, live, readOnly, noPolicy }), parts);
  useInterruptKeys(slug, id, active && readOnly === null, place);

  useEffect(() => () => panel.set(null), [id]);
  useEffect(() => {
    nameTab(title);
    return () => nameTab("");
  }, [title]);

  if (refused !== null) {
    return (
      <>
        <Header title={t("session:session")} />
        <Empty icon={<QuestionIcon size={26} />} title={t("session:cannotShow")}>
          <p>{refused}</p>
          <a className="button" {...linkTo({ page: "project", project: slug })}>
            {t("session:toProject", { project: slug })}
          </a>
        </Empty>
      </>
    );
  }
  return (
    <SessionContext value={scope}>
      <SessionHeader {...{ title, project, session, run, transcript }} view={place.view} />
      <div className="session-body">
        <div className="session-main">
          {place.view === "transcript" ? (
            <>
              <TranscriptView transcript={transcript} ready={ready} named={place} sample={project?.sample === true} />
              <Dock transcript={transcript} ready={ready} project={project} archived={transcript.archived} />
            </>
          ) : (
            <Suspense fallback={<Skeleton lines={6} />}>
              <Gates transcript={transcript} />
              <TerminalView project={slug} session={id} terminal={place.terminal} />
              {active ? (
                <div className="now-below">
                  <NowLine transcript={transcript} />
                </div>
              ) : null}
            </Suspense>
          )}
        </div>
        <Inspector transcript={transcript} project={project} />
      </div>
    </SessionContext>
  );
}

/** The network gate's questions, above a terminal too: the program that waits may be there. */
function Gates({ transcript }: { transcript: Transcript }): ReactNode {
  const all = [transcript, ...Object.values(transcript.agents)].flatMap(({ items }) => items);
  return (
    <div className="gates-above">
      {all.map((item) => (item.kind === "gate" && openQuestion(item) ? <GateCard key={item.key} item={item} /> : null))}
    </div>
  );
}

/** Escape twice stops what runs; its other keys are acts (see `palette/`). */
function useInterruptKeys(slug: string, id: string, active: boolean, place: SessionPageProps["place"]): void {
  const lastEscape = useRef(0);
  useKeys((event) => {
    if (!active || event.key !== "Escape" || place.view !== "transcript") return false;
    const twice = event.timeStamp - lastEscape.current < ESCAPE_TWICE_MS;
    lastEscape.current = twice ? 0 : event.timeStamp;
    if (twice) void interrupt(slug, id);
    return twice;
  });
}
