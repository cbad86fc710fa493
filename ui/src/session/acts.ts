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

/** Sends a message; true when the daemon has it. */
export async function sendMessage(
  project: string,
  session: string,
  text: string,
  mode: MessageMode = "queue",
  attachments: AttachmentDraft[] = [],
): Promise<boolean> {
  try {
    await api.send(project, session, text, mode, attachments, freshKey());
    return true;
  } catch (error) {
    toastError(error);
    // A refusal is often news about the project: changed on disk, no longer trusted.
    refreshProjects().catch(() => {});
    return false;
  }
}

/** Stops the run with all its sub-agents, or one sub-agent with those below it. */
export async function interrupt(project: string, session: string, runId: string | null = null): Promise<void> {
  try {
    const { stopped } = await api.interrupt(project, session, runId);
    toast(stopped.length === 0 ? t("session:stopped") : t("session:stoppedWhat", { what: stopped.join(", ") }));
  } catch (error) {
    toastError(error);
  }
}

export async function renameSession(project: string, session: string, title: string): Promise<void> {
  try {
    placeSession(await api.renameSession(project, session, title));
  } catch (error) {
    toastError(error);
  }
}

/** Makes a checkpoint; true when it is there. */
export async function nameCheckpoint(project: string, session: string, name: string, ignored = false): Promise<boolean> {
  try {
    await api.nameCheckpoint(project, session, name, ignored);
    toast(t("session:checkpoint.made"));
    return true;
  } catch (error) {
    toastError(error);
    return false;
  }
}

export async function resume(project: string, session: string): Promise<void> {
  try {
    await api.resume(project, session);
  } catch (error) {
    toastError(error);
  }
}

/** Answers a question of the agent or of the network gate; true when the daemon has it. */
export async function answer(project: string, session: string, attention: string, text: string): Promise<boolean> {
  try {
    await api.answer(project, session, attention, text);
    return true;
  } catch (error) {
    toastError(error);
    return false;
  }
}

/** Puts a session away; what only its worktree holds keeps it, with a sentence that says so. True when it is away. */
export async function archive(project: string, session: string): Promise<boolean> {
  try {
    await api.archiveSession(project, session, false);
    await refreshSessions(project);
    toast(t("palette:archived"));
    return true;
  } catch (error) {
    toastError(error);
    return false;
  }
}
