import { type ReactNode, useEffect, useMemo, useRef } from "react";
import { api } from "../api/client.ts";
import { approvalOf, DENY, ONCE } from "../journal/approval.ts";
import { currentRun, isActive } from "../journal/model.ts";
import { answer, interrupt, resume } from "../session/acts.ts";
import { panel, toggleInspector } from "../session/panel.ts";
import { liveSession } from "../state/live.ts";
import { lacks } from "../state/rights.ts";
import { go, type Place } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { toastError } from "../state/toasts.ts";
import { findProject, workspace } from "../state/workspace.ts";
import { visible } from "../text/visible.ts";
import { useActs } from "./acts.ts";

type SessionPlace = Extract<Place, { page: "session" }>;

/** A press that was meant for what stood there before decides nothing; the cards have the same patience. */
const PATIENCE_MS = 700;

/** What can be done with the session that is open. */
export function SessionActs({ place }: { place: SessionPlace }): ReactNode {
  const { project: slug, session: id } = place;
  const live = useMemo(() => liveSession(slug, id), [slug, id]);
  const { transcript, ready } = useStore(live.state);
  const space = useStore(workspace);
  const may = lacks(findProject(space, slug), "editor") === null && ready && !transcript.archived;
  const run = currentRun(transcript);
  const [active, interrupted] = [isActive(run), run?.state === "interrupted"];
  const other: SessionPlace = { page: "session", project: slug, session: id, view: "transcript", terminal: null };
  const deciding = useDecision(place);

  const open = async (): Promise<void> => {
    const made = await api.createTerminal({ kind: "cage", project: slug, session: id, cols: 100, rows: 30 });
    go({ ...other, view: "terminal", terminal: made.id });
  };
  useActs({
    interrupt: may && active && (() => void interrupt(slug, id)),
    resume: may && interrupted && (() => void resume(slug, id)),
    archive: may && !active && (() => panel.set({ kind: "archive" })),
    inspector: toggleInspector,
    view: () => go({ ...other, view: place.view === "transcript" ? "terminal" : "transcript" }),
    newTerminal: may && (() => void open().catch(toastError)),
    approve: may && deciding(ONCE),
    deny: may && deciding(DENY),
  });
  return null;
}

/** Approves or denies the one call that waits in this session; of several, each has its card. */
function useDecision({ project, session }: SessionPlace): (words: string) => { run: () => void; about: string } | null {
  const waiting = useStore(workspace).attention.filter((item) => item.session === session);
  const [only] = waiting.length === 1 ? waiting : [];
  const approval = approvalOf(only?.approval);
  const since = useRef(0);
  useEffect(() => {
    since.current = Date.now();
  }, [only?.id]);
  return (words) => {
    if (only === undefined || approval === null) return null;
    const run = (): void => {
      if (Date.now() - since.current > PATIENCE_MS) void answer(project, session, only.id, words);
    };
    return { run, about: visible(approval.subject) };
  };
}
