import type { Project, Session } from "../api/types.ts";

type Held = { items: Session[]; next: string | null };

/** The projects and sessions whose names have all the words; a project that matches by name shows all its sessions. */
export function matching(
  projects: readonly Project[],
  sessions: Readonly<Record<string, Held>>,
  wanted: string,
): { project: Project; page: Held | undefined }[] {
  const words = wanted.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const has = (text: string): boolean => words.every((word) => text.toLocaleLowerCase().includes(word));
  return projects.flatMap((project) => {
    const page = sessions[project.slug];
    if (has(project.slug)) return [{ project, page }];
    const items = page?.items.filter((session) => has(`${project.slug} ${session.title}`)) ?? [];
    return items.length === 0 ? [] : [{ project, page: { items, next: null } }];
  });
}
