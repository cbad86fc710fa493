import { api } from "../api/client.ts";
import type { Me, Project, Question, Session } from "../api/types.ts";
import { decided, settle } from "../inbox/decided.ts";
import { type Frame, str } from "../journal/events.ts";
import { away } from "../offline/away.ts";
import { keepWorkspace } from "../offline/snapshot.ts";
import { socket } from "../ws/browser.ts";
import { Store } from "./store.ts";
import { countWaiting } from "./title.ts";
import { toastError } from "./toasts.ts";

/** What the rail shows: projects, and of each the newest sessions. Kept current by the `events` channel. */
export interface Workspace {
  loaded: boolean; projects: Project[]; sessions: Record<string, { items: Session[]; next: string | null }>;
  /** What waits for an answer, the riskiest first. */
  attention: Question[];
}

export const me = new Store<Me | null>(null);
export const workspace = new Store<Workspace>({ loaded: false, projects: [], sessions: {}, attention: [] });

export async function refreshMe(): Promise<void> {
  me.set(await api.me());
}

/** How an actor is called in a sentence: the reader is “you”. */
export const person = (id: string): string => (id === me.get()?.id ? "you" : id);

export async function refreshProjects(): Promise<void> {
  const projects = (await api.projects()).items;
  workspace.set((state) => ({ ...state, projects }));
  await Promise.all([refreshAttention(), ...projects.map((project) => refreshSessions(project.slug))]);
  workspace.set((state) => ({ ...state, loaded: true }));
  keepSoon();
}

let keeping: ReturnType<typeof setTimeout> | null = null;

/** What the lists are now, for a time without a network. */
function keepSoon(): void {
  keeping ??= setTimeout(() => {
    keeping = null;
    void keepWorkspace(workspace.get());
  }, 1000);
}

function setSessions(slug: string, items: Session[], next: string | null): void {
  workspace.set((state) => ({ ...state, sessions: { ...state.sessions, [slug]: { items, next } } }));
}

export async function refreshSessions(slug: string): Promise<void> {
  const { items, next } = await api.sessions(slug);
  setSessions(slug, items.filter((session) => session.state !== "archived"), next);
}

async function refreshAttention(): Promise<void> {
  placeAttention((await api.attention()).items);
}

function placeAttention(found: Question[]): void {
  const attention = found.filter((item) => decided.get()[item.id] === undefined);
  workspace.set((state) => ({ ...state, attention }));
  countWaiting(attention.length);
}

export async function moreSessions(slug: string): Promise<void> {
  const held = workspace.get().sessions[slug];
  if (!held?.next) return;
  const { items, next } = await api.sessions(slug, held.next);
  const known = new Set(held.items.map((session) => session.id));
  setSessions(slug, [...held.items, ...items.filter((session) => !known.has(session.id))], next);
}

/** Puts one session into the rail at once, without waiting for the next look at the list. */
export function placeSession(session: Session): void {
  const { items, next } = workspace.get().sessions[session.project] ?? { items: [], next: null };
  const at = items.findIndex(({ id }) => id === session.id);
  setSessions(session.project, at === -1 ? [session, ...items] : items.with(at, session), next);
}

export function placeProject(project: Project): void {
  workspace.set((state) => {
    const at = state.projects.findIndex(({ slug }) => slug === project.slug);
    return { ...state, projects: at === -1 ? [...state.projects, project] : state.projects.with(at, project) };
  });
}

export const findProject = (state: Workspace, slug: string): Project | null =>
  state.projects.find((project) => project.slug === slug) ?? null;

export const findSession = (state: Workspace, slug: string, id: string): Session | null =>
  state.sessions[slug]?.items.find((session) => session.id === id) ?? null;

const stale = new Set<string>();
let timer: ReturnType<typeof setTimeout> | null = null;

/** A burst of events costs one look at each list it touched. */
function refreshSoon(slug: string): void {
  stale.add(slug);
  timer ??= setTimeout(() => {
    timer = null;
    const slugs = [...stale];
    stale.clear();
    const known = new Set(workspace.get().projects.map((project) => project.slug));
    const work = slugs.every((entry) => known.has(entry))
      ? Promise.all([refreshAttention(), ...slugs.map((entry) => refreshSessions(entry))])
      : refreshProjects();
    work.then(keepSoon).catch(() => {
      // The next event, or the next reconnect, looks again; the connection state is already shown.
    });
  }, 250);
}

/** What the reader may see and do has changed: look at everything again, from the pages' roles to their lists. */
function rightsChanged(): void {
  refreshMe().then(refreshProjects).catch(toastError);
}

export function startWorkspace(): void {
  socket.watchRights(rightsChanged);
  refreshProjects().catch((error: unknown) => away.get() ?? toastError(error));
  socket.subscribe("events", "head", {
    frames: (frames: Frame[]) => {
      if (settle(frames)) placeAttention(workspace.get().attention);
      for (const frame of frames) refreshSoon(str(frame.data, "project"));
    },
  });
}
