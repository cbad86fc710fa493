import { type ReactNode, useEffect, useRef, useState } from "react";
import type { MessageMode, Project } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { useNow } from "../design/hooks.ts";
import { InterruptIcon, ResumeIcon } from "../design/icons.tsx";
import { Dot, Notice } from "../design/parts.tsx";
import { activity } from "../journal/activity.ts";
import { currentRun, isActive, type Run, type Transcript } from "../journal/model.ts";
import { overlay } from "../shell/overlay.ts";
import { elapsed, tokens } from "../text/format.ts";
import { interrupt, resume, sendMessage } from "./acts.ts";
import { Composer } from "./Composer.tsx";
import { useSession } from "./context.ts";
import { SnapshotProgress } from "./SnapshotProgress.tsx";
import { Waiting } from "./Waiting.tsx";
import { Offers } from "./Offers.tsx";
import { runWords } from "./runWords.ts";
import { Sentence } from "../design/Sentence.tsx";

interface DockProps {
  transcript: Transcript;
  ready: boolean;
  project: Project | null;
  archived: boolean;
}

const SENDS = <span className="send-keys">Enter sends after this run, Ctrl+Enter at its next step.</span>;

/** What stays at the bottom: what goes on now, what can be done about it, and where one writes. */
export function Dock({ transcript, ready, project, archived }: DockProps): ReactNode {
  const { project: slug, session, readOnly } = useSession();
  const run = currentRun(transcript);
  const active = isActive(run);
  const empty = ready && transcript.items.length === 0;
  const [sending, setSending] = useState(false);

  const send = async (text: string, mode: MessageMode = "queue"): Promise<boolean> => {
    setSending(true);
    const sent = await sendMessage(slug, session, text, mode);
    setSending(false);
    return sent;
  };

  const blocked = blockedBy(project, archived);
  const reason = blocked !== null ? "No messages can be sent now." : null;
  return (
    <div className="dock">
      <div className="column">
        {project?.sample && readOnly === null && ready && !active && run?.state !== "interrupted" ? (
          <Offers large={empty} disabled={sending || blocked !== null} onSend={(text) => void send(text)} />
        ) : null}
        {active ? <NowLine transcript={transcript} /> : null}
        {run?.state === "interrupted" ? <ResumeBar run={run} /> : null}
        <SnapshotProgress project={slug} waits={sending || transcript.queued} />
        <Waiting transcript={transcript} />
        {blocked}
        {readOnly === null ? (
          <Composer
            key={session}
            suggestion={project?.sample && empty ? "Fix the failing test" : ""}
            reason={reason}
            busy={sending}
            active={active}
            onSend={send}
          />
        ) : (
          <div data-testid="read-only">
            <Notice>You are looking on. {readOnly}</Notice>
          </div>
        )}
        <div className="dock-foot">
          <span id="composer-reason">{readOnly === null ? (reason ?? (active ? SENDS : null)) : null}</span>
          <Usage transcript={transcript} />
        </div>
      </div>
      <Announcer run={run} />
    </div>
  );
}

function blockedBy(project: Project | null, archived: boolean): ReactNode {
  if (archived) return <Notice>This session is archived. Its transcript stays; it takes no more messages.</Notice>;
  if (project === null) return null;
  const first = project.problems[0];
  if (first !== undefined)
    return (
      <Notice tone="bad">
        <Sentence text={first} />
      </Notice>
    );
  if (project.trust === "trusted") return null;
  const words =
    project.trust === "changed" ? "The project file changed since it was trusted." : "This project is not trusted yet.";
  return (
    <Notice tone="accent">
      <div className="notice-line">
        <span className="grow">{words} Nothing runs until you have looked at it.</span>
        <Button small onClick={() => overlay.set({ kind: "trust", slug: project.slug })}>
          Review
        </Button>
      </div>
    </Notice>
  );
}

function NowLine({ transcript }: { transcript: Transcript }): ReactNode {
  const { project, session, live, readOnly } = useSession();
  const now = useNow(true);
  const [stopping, setStopping] = useState(false);
  const doing = activity(transcript);
  const since = doing === null || doing.since === "" ? Number.NaN : now - live.skewMs - Date.parse(doing.since);
  const stop = (): void => {
    setStopping(true);
    void interrupt(project, session).finally(() => setStopping(false));
  };
  return (
    <div className="now" data-testid="now">
      <Dot state={currentRun(transcript)?.state ?? "running"} />
      <span className="now-words grow">
        <span className="shimmer">{doing?.verb ?? "Working"}</span>
        {doing?.object ? <code className="ellipsis">{doing.object}</code> : null}
      </span>
      {since >= 1000 ? <span className="now-time">{elapsed(since)}</span> : null}
      <Button
        small
        data-testid="interrupt"
        busy={stopping}
        disabled={readOnly !== null}
        onClick={stop}
        title={readOnly ?? "Interrupt (Esc twice)"}
      >
        {stopping ? null : <InterruptIcon size={11} fill="currentColor" aria-hidden />} Interrupt
      </Button>
    </div>
  );
}

function ResumeBar({ run }: { run: Run }): ReactNode {
  const { project, session, readOnly } = useSession();
  const [busy, setBusy] = useState(false);
  const go = (): void => {
    setBusy(true);
    void resume(project, session).finally(() => setBusy(false));
  };
  return (
    <Notice tone="accent">
      <div className="notice-line">
        <div className="grow">
          <strong>This run was interrupted and waits for you.</strong>{" "}
          {run.reason || "kaged was restarted while it was at work."} What is stored was not lost.
          {run.stillRunning.length > 0 ? (
            <div className="still-running">
              Still running: <code>{run.stillRunning.join(", ")}</code>
            </div>
          ) : null}
        </div>
        <Button
          look="ghost"
          small
          disabled={readOnly !== null}
          title={readOnly ?? undefined}
          onClick={() => void interrupt(project, session)}
        >
          Stop it
        </Button>
        <Button
          look="primary"
          small
          data-testid="resume"
          busy={busy}
          disabled={readOnly !== null}
          title={readOnly ?? undefined}
          onClick={go}
        >
          {busy ? null : <ResumeIcon size={12} fill="currentColor" aria-hidden />} Resume
        </Button>
      </div>
    </Notice>
  );
}

function Usage({ transcript }: { transcript: Transcript }): ReactNode {
  const { input, output, cacheRead, estimated } = transcript.usage;
  if (input + output === 0) return null;
  return (
    <div className="usage" data-testid="usage" title="Tokens of this session">
      <span>
        {tokens(input)} tokens in{cacheRead > 0 ? ` (${tokens(cacheRead)} cached)` : ""}
      </span>
      <span>{tokens(output)} out</span>
      {estimated ? <span title="The provider did not report all of them">estimated</span> : null}
    </div>
  );
}

/** Says to screen readers when the state of the run changes, and nothing of the stream itself. */
function Announcer({ run }: { run: Run | null }): ReactNode {
  const [words, setWords] = useState("");
  const before = useRef(run?.state);
  useEffect(() => {
    if (before.current === run?.state) return;
    before.current = run?.state;
    setWords(runWords(run).label);
  }, [run]);
  return (
    <div className="hidden-text" role="status">
      {words}
    </div>
  );
}
