import { api } from "../api/client.ts";
import type { AttachmentDraft, MessageMode } from "../api/types.ts";
import { t } from "../i18n/index.ts";
import { toast, toastError } from "../state/toasts.ts";
import { placeSession, refreshProjects, refreshSessions } from "../state/workspace.ts";

/** A key that no other request has; works on plain HTTP too, where `randomUUID` does not exist. */
export function freshKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** True when it is done; what goes wrong is told. */
export const told = (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => true,
    (error: unknown) => {
      toastError(error);
      return false;
    },
  );

export async function sendMessage(
  project: string, session: string, text: string, mode: MessageMode = "queue", attachments: AttachmentDraft[] = [],
): Promise<boolean> {
  const sent = await told(api.send(project, session, text, mode, attachments, freshKey()));
  // A refusal is often news about the project: changed on disk, no longer trusted.
  if (!sent) refreshProjects().catch(() => {});
  return sent;
}

/** Stops the run with all its sub-agents, or one sub-agent with those below it. */
export async function interrupt(project: string, session: string, runId: string | null = null): Promise<void> {
  const say = ({ stopped }: { stopped: string[] }): void =>
    toast(stopped.length === 0 ? t("session:stopped") : t("session:stoppedWhat", { what: stopped.join(", ") }));
  await told(api.interrupt(project, session, runId).then(say));
}

export const renameSession = (project: string, session: string, title: string): Promise<boolean> =>
  told(api.renameSession(project, session, title).then(placeSession));

export const nameCheckpoint = (project: string, session: string, name: string, ignored = false): Promise<boolean> =>
  told(api.nameCheckpoint(project, session, name, ignored).then(() => toast(t("session:checkpoint.made"))));

export const resume = (project: string, session: string): Promise<boolean> => told(api.resume(project, session));

/** Answers a question of the agent or of the network gate. */
export const answer = (project: string, session: string, attention: string, text: string): Promise<boolean> =>
  told(api.answer(project, session, attention, text));

/** Puts a session away; what only its worktree holds keeps it, with a sentence that says so. */
export async function archive(project: string, session: string): Promise<boolean> {
  const away = api.archiveSession(project, session, false).then(() => refreshSessions(project));
  return told(away.then(() => toast(t("palette:archived"))));
}
