import { type ReactNode, useCallback, useEffect, useMemo, useRef } from "react";
import type { AttachmentDraft, MessageMode, Project } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { ResumeIcon } from "../design/icons.tsx";
import { Notice } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { currentRun, isActive, type Run, type Transcript } from "../journal/model.ts";
import { useConnection } from "../shell/Connection.tsx";
import { overlay } from "../shell/overlay.ts";
import { interrupt, resume, sendMessage } from "./acts.ts";
import { Composer } from "./composer/Composer.tsx";
import { useSession } from "./context.ts";
import { SnapshotProgress } from "./SnapshotProgress.tsx";
import { Waiting } from "./Waiting.tsx";
import { Act, useWork } from "./work.tsx";
import { Glance } from "./Glance.tsx";
import { NowLine } from "./NowLine.tsx";
import { ASKS, Offers } from "./Offers.tsx";
import { useFocusKeeper } from "./place.ts";
import { Speaker } from "./Speaker.tsx";
import { Sentence } from "../design/Sentence.tsx";

interface DockProps {
  transcript: Transcript; ready: boolean; project: Project | null; archived: boolean;
}

/** What stays at the bottom: what goes on now, what can be done about it, and where one writes. */
export function Dock({ transcript, ready, project, archived }: DockProps): ReactNode {
  const { project: slug, session, readOnly } = useSession();
  const run = currentRun(transcript);
  const active = isActive(run);
  const empty = ready && transcript.items.length === 0;
  const [sending, work] = useWork();
  const offline = useConnection() === "waiting";
  const root = useRef<HTMLDivElement>(null);
  useKeyboardRoom();
  useFocusKeeper(root, useCallback(() => root.current?.querySelector("textarea") ?? null, []));
  const history = useMemo(() => transcript.items.flatMap((item) => (item.kind === "user" ? [item.text] : [])), [transcript.items]);

  const send = async (text: string, mode: MessageMode = "queue", files: AttachmentDraft[] = []): Promise<boolean> => {
    const sent = sendMessage(slug, session, text, mode, files);
    await work(sent);
    return sent;
  };

  const blocked = blockedBy(project, archived);
  const reason = offline ? t("session:offlineShort") : blocked !== null ? t("session:noMessages") : null;
  return (
    <div className="dock" ref={root}>
      <div className="column">
        {project?.sample && readOnly === null && ready && !active && run?.state !== "interrupted" ? (
          <Offers large={empty} disabled={sending || reason !== null} onSend={(text) => void send(text)} />
        ) : null}
        {active ? <NowLine transcript={transcript} /> : null}
        {run?.state === "interrupted" ? <ResumeBar run={run} /> : null}
        <SnapshotProgress project={slug} waits={sending || transcript.queued} />
        <Waiting transcript={transcript} />
        {blocked}
        {offline ? <div data-testid="offline"><Notice tone="accent">{t("session:offline")}</Notice></div> : null}
        {readOnly === null ? (
          <Composer key={session} suggestion={project?.sample && empty ? ASKS.fix : ""}
            {...{ reason, active, history, busy: sending, onSend: send }} />
        ) : (
          <div data-testid="read-only">
            <Notice>{t("session:lookingOn")} {readOnly}</Notice>
          </div>
        )}
        <div className="dock-foot">
          <span id="composer-reason">{readOnly === null ? (reason ?? (active ? <span className="send-keys">{t("session:sendKeys")}</span> : null)) : null}</span>
          <Glance transcript={transcript} model={project?.route?.label ?? ""} />
        </div>
      </div>
      <Speaker transcript={transcript} ready={ready} />
    </div>
  );
}

/** Where a keyboard lies over the page instead of making it smaller, the page leaves it room. */
function useKeyboardRoom(): void {
  useEffect(() => {
    const view = window.visualViewport;
    if (view === null) return undefined;
    const fit = (): void => {
      const covered = view.scale > 1.01 ? 0 : Math.max(0, window.innerHeight - view.height - view.offsetTop);
      document.documentElement.style.setProperty("--keyboard", `${Math.round(covered)}px`);
    };
    const end = new AbortController();
    fit();
    for (const event of ["resize", "scroll"]) view.addEventListener(event, fit, { signal: end.signal });
    return () => end.abort();
  }, []);
}

function blockedBy(project: Project | null, archived: boolean): ReactNode {
  if (archived) return <Notice>{t("session:archived")}</Notice>;
  if (project === null) return null;
  const first = project.problems[0];
  if (first !== undefined) return <Notice tone="bad"><Sentence text={first} /></Notice>;
  if (project.trust === "trusted") return null;
  const words = t(project.trust === "changed" ? "session:trustChanged" : "session:untrusted");
  return (
    <Notice tone="accent">
      <div className="notice-line">
        <span className="grow">{words} {t("session:nothingRuns")}</span>
        <Button small onClick={() => overlay.set({ kind: "trust", slug: project.slug })}>
          {t("session:review")}
        </Button>
      </div>
    </Notice>
  );
}

function ResumeBar({ run }: { run: Run }): ReactNode {
  const { project, session } = useSession();
  const [busy, work] = useWork();
  return (
    <Notice tone="accent">
      <div className="notice-line">
        <div className="grow">
          <strong>{t("session:wasInterrupted")}</strong> {run.reason || t("session:restarted")} {t("session:notLost")}
          {run.stillRunning.length > 0 ? (
            <div className="still-running">
              {t("session:stillRunning")} <code>{run.stillRunning.join(", ")}</code>
            </div>
          ) : null}
        </div>
        <Act look="ghost" onClick={() => void interrupt(project, session)}>
          {t("session:stopIt")}
        </Act>
        <Act look="primary" data-testid="resume" busy={busy} onClick={() => void work(resume(project, session))}>
          {busy ? null : <ResumeIcon size={12} fill="currentColor" aria-hidden />} {t("session:resume")}
        </Act>
      </div>
    </Notice>
  );
}
