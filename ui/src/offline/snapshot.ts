import type { Me } from "../api/types.ts";
import type { Transcript } from "../journal/model.ts";
import type { Workspace } from "../state/workspace.ts";
import { drop, dropAll, keep, kept, keptKeys } from "./store.ts";
import { trimmed } from "./trim.ts";

/** Sessions whose end is kept. */
const SESSIONS = 12;
const SESSION = "session:";

interface Seen<T> {
  at: number;
  value: T;
}

type SeenSession = Seen<Transcript> & { project: string };

/** Tells apart whose things are kept; true when they were another's and are gone now. */
export async function adopt(me: Me): Promise<boolean> {
  const before = await kept<Seen<Me>>("me");
  const other = before !== null && (before.value.id !== me.id || before.value.source !== me.source);
  if (other) await dropAll();
  await keep("me", { at: Date.now(), value: me } satisfies Seen<Me>);
  return other;
}

/** The lists, and with them the end of what the reader may not see any more. */
export async function keepWorkspace(space: Workspace): Promise<void> {
  await keep("workspace", { at: Date.now(), value: space } satisfies Seen<Workspace>);
  const projects = new Set(space.projects.map(({ slug }) => slug));
  for (const key of await keptKeys()) {
    if (key.slice(0, SESSION.length) !== SESSION) continue;
    const session = await kept<SeenSession>(key);
    if (session !== null && !projects.has(session.project)) await drop(key);
  }
}

export async function keepSession(id: string, project: string, transcript: Transcript): Promise<void> {
  await keep(SESSION + id, { at: Date.now(), project, value: trimmed(transcript) } satisfies SeenSession);
  const keys = (await keptKeys()).filter((key) => key.slice(0, SESSION.length) === SESSION);
  if (keys.length <= SESSIONS) return;
  const ages = await Promise.all(keys.map(async (key) => ({ key, at: (await kept<SeenSession>(key))?.at ?? 0 })));
  for (const { key } of ages.toSorted((one, two) => two.at - one.at).slice(SESSIONS)) await drop(key);
}

export async function keptSession(id: string): Promise<Transcript | null> {
  return (await kept<SeenSession>(SESSION + id))?.value ?? null;
}

/** Who was here, what the lists were, and when that was; null when nothing is kept. */
export async function lastSeen(): Promise<{ me: Me; space: Workspace; at: number } | null> {
  const [me, space] = await Promise.all([kept<Seen<Me>>("me"), kept<Seen<Workspace>>("workspace")]);
  return me === null || space === null ? null : { me: me.value, space: space.value, at: space.at };
}
