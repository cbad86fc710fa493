import { api } from "../api/client.ts";
import type { Terminal } from "../api/types.ts";
import { t } from "../i18n/index.ts";
import { go, type Place, sessionPlace } from "../state/router.ts";
import type { Workspace } from "../state/workspace.ts";
import { ago } from "../text/format.ts";
import { type ActId, actOf, type Doing } from "./acts.ts";
import type { Item, SectionName } from "./find.tsx";

export const listTerminals = async (): Promise<Terminal[]> => (await api.terminals(null)).items;

/** The name people know a terminal by: its task, its session, or its own title. */
export function terminalName(terminal: Terminal, space: Workspace): string {
  const of = space.sessions[terminal.project ?? ""]?.items.find((session) => session.id === terminal.session);
  return terminal.task ?? (of?.title || terminal.title);
}

/** All that can be reached from here; sessions by when they were last at work. */
export function itemsOf(doable: ReadonlyMap<ActId, Doing>, space: Workspace, terminals: readonly Terminal[]): Item[] {
  const place = (id: string, section: SectionName, words: string, about: string, to: Place): Item => ({
    id, section, words, about, run: () => go(to),
  });
  const acts = [...doable]
    .filter(([id]) => id !== "palette")
    .map(([id, { run, about = "" }]): Item => {
      const { key, goes } = actOf(id);
      return { id: `act ${id}`, section: goes ? "places" : "acts", words: t(`palette:act.${id}`), about, key, run };
    });
  const sessions = Object.values(space.sessions)
    .flatMap(({ items }) => items)
    .toSorted((one, other) => other.updated_at.localeCompare(one.updated_at));
  return [
    ...acts,
    ...space.projects.map(({ slug, description }) =>
      place(`project ${slug}`, "projects", slug, description ?? "", { page: "project", project: slug }),
    ),
    ...sessions.map((session) => {
      const about = `${session.project} · ${ago(session.updated_at)}`;
      const to = sessionPlace(session.project, session.id);
      return place(`session ${session.id}`, "sessions", session.title || t("palette:untitled"), about, to);
    }),
    ...terminals.map((terminal) => {
      const about = [terminal.project ?? terminal.kind, ago(terminal.created_at)].join(" · ");
      const to: Place = { page: "terminals", terminal: terminal.id };
      return place(`terminal ${terminal.id}`, "terminals", terminalName(terminal, space), about, to);
    }),
  ];
}

const KEPT = "kaged.palette";
const KEPT_MOST = 12;

export function recentIds(): string[] {
  return (localStorage.getItem(KEPT) ?? "").split("\n").filter(Boolean);
}

export function remember(id: string): void {
  localStorage.setItem(KEPT, [id, ...recentIds().filter((other) => other !== id)].slice(0, KEPT_MOST).join("\n"));
}
