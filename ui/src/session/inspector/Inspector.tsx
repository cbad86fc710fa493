import { type ReactNode, useEffect, useMemo, useRef } from "react";
import type { Project } from "../../api/types.ts";
import { IconButton } from "../../design/Button.tsx";
import { DiffCount } from "../../design/DiffView.tsx";
import { CloseIcon } from "../../design/icons.tsx";
import { t } from "../../i18n/index.ts";
import { currentRun, isActive, type Transcript } from "../../journal/model.ts";
import { useStore } from "../../state/store.ts";
import { duration, tokens, whole } from "../../text/format.ts";
import { withinProject } from "../../text/paths.ts";
import { AgentList } from "../agents/AgentTree.tsx";
import { Point, titleOf } from "../checkpoints/Checkpoints.tsx";
import { useSession } from "../context.ts";
import { inspector, panel } from "../panel.ts";
import { goTo } from "../place.ts";
import { filesTouched } from "./files.ts";

const POINTS = 30;

interface InspectorProps {
  transcript: Transcript; project: Project | null;
}

/** What the session is made of, beside it where there is room, over it where there is none. */
export function Inspector(props: InspectorProps): ReactNode {
  return useStore(inspector) ? <Open {...props} /> : null;
}

const isSheet = (): boolean => window.matchMedia("(max-width: 1099px)").matches;

function Open({ transcript, project }: InspectorProps): ReactNode {
  const root = useRef<HTMLElement>(null);
  const close = (): void => inspector.set(false);
  useEffect(() => {
    // A sheet lies over what had the focus; a panel beside it leaves it there.
    if (!isSheet()) return undefined;
    const opener = document.activeElement;
    root.current?.focus();
    const end = new AbortController();
    const key = (event: KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      close();
    };
    document.addEventListener("keydown", key, { capture: true, signal: end.signal });
    return () => {
      end.abort();
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  const leave = (): void => {
    if (isSheet()) close();
  };
  return (
    <>
      <button type="button" className="inspector-scrim" aria-label={t("session:closeInspector")} tabIndex={-1} onClick={close} />
      <aside className="inspector" ref={root} tabIndex={-1} aria-label={t("session:inspector")} data-testid="inspector">
        <div className="inspector-head">
          <h2>{t("session:inspector")}</h2>
          <IconButton small label={t("session:closeInspector")} onClick={close}>
            <CloseIcon size={16} />
          </IconButton>
        </div>
        <Numbers transcript={transcript} project={project} />
        <section>
          <h3>{t("session:agents.label")}</h3>
          {Object.keys(transcript.agents).length === 0 ? <p className="muted">{t("session:agents.none")}</p> : null}
          <AgentList transcript={transcript} mark="inspected-agent" onGo={leave} />
        </section>
        <Files transcript={transcript} onGo={leave} />
        <Timeline marks={transcript.marks} />
      </aside>
    </>
  );
}

function Numbers({ transcript, project }: InspectorProps): ReactNode {
  const run = currentRun(transcript);
  const { input, output, cacheRead, cacheWrite } = transcript.usage;
  const model = (isActive(run) ? run?.model : "") || project?.route?.label || run?.model || "";
  const took = Object.values(transcript.runs).reduce((sum, { startedAt, endedAt }) => sum + (endedAt === "" ? 0 : Date.parse(endedAt) - Date.parse(startedAt)), 0);
  const facts: [string, string][] = [
    [t("session:facts.model"), model],
    [t("session:facts.context"), transcript.context === 0 ? "" : t("session:facts.tokens", { amount: tokens(transcript.context) })],
    [t("session:facts.input"), input === 0 ? "" : whole(input)],
    [t("session:facts.cached"), cacheRead + cacheWrite === 0 ? "" : whole(cacheRead)],
    [t("session:facts.output"), output === 0 ? "" : whole(output)],
    [t("session:facts.runs"), whole(Object.keys(transcript.runs).length)],
    [t("session:facts.work"), took === 0 ? "" : duration(took)],
  ];
  return (
    <dl className="inspector-facts">
      {facts.map(([name, value]) => value === "" ? null : (
        <div key={name}>
          <dt>{name}</dt>
          <dd className="ellipsis">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Files({ transcript, onGo }: { transcript: Transcript; onGo: () => void }): ReactNode {
  const { root } = useSession();
  const { items, agents, away } = transcript;
  // Only calls that have ended change a file: a text that streams is no reason to read all diffs again.
  const ended = [transcript, ...Object.values(agents)].reduce((sum, each) => sum + each.items.filter((item) => item.kind === "tool" && item.durationMs !== null).length, 0);
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const files = useMemo(() => filesTouched({ ...transcript, items, agents, away }), [ended, away]);
  return (
    <section>
      <h3>{t("session:files")}</h3>
      {files.length === 0 ? <p className="muted">{t("session:noFiles")}</p> : null}
      <ul role="list" className="touched">
        {files.map(({ path, added, removed, key }) => (
          <li key={path}>
            <button type="button" className="touched-file" data-testid="touched"
              onClick={() => {
                onGo();
                window.setTimeout(() => goTo(key));
              }}>
              <code className="grow ellipsis">{withinProject(path, root)}</code>
              <DiffCount file={{ added, removed }} />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The newest checkpoints as marks; each opens to what restoring it would change. */
function Timeline({ marks }: { marks: Transcript["marks"] }): ReactNode {
  const newest = Object.entries(marks).slice(-POINTS).reverse();
  return (
    <section>
      <div className="inspector-line">
        <h3 className="grow">{t("session:checkpoint.title")}</h3>
        {newest.length < 2 ? null : (
          <button type="button" className="link" onClick={() => panel.set({ kind: "checkpoints", id: null, compare: true })}>
            {t("session:checkpoint.compare")}
          </button>
        )}
      </div>
      {newest.length === 0 ? <p className="muted">{t("session:checkpoint.none")}</p> : null}
      <ol role="list" className="points" aria-label={t("session:checkpoint.list")}>
        {newest.map(([id, { name, auto, files, at }]) => (
          <Point key={id} id={id} title={titleOf(name, auto)} auto={auto || "named"} files={files} at={at} testId="mark" onChoose={(chosen) => panel.set({ kind: "checkpoints", id: chosen })} />
        ))}
      </ol>
    </section>
  );
}
