import type { Project, ProjectRole } from "../api/types.ts";
import { t } from "../i18n/index.ts";

export const ROLES: readonly ProjectRole[] = ["viewer", "editor", "owner"];

/** Why the reader may not do in `project` what takes `role`, for a title or a notice; null when they may. */
export function lacks(project: Project | null, role: ProjectRole): string | null {
  if (project === null || ROLES.indexOf(project.role) >= ROLES.indexOf(role)) return null;
  return t("words:lacks", { project: project.slug, role: project.role, needed: role });
}

/** One or two letters that stand for somebody. */
export function initials(who: { id: string; name: string | null }): string {
  const words = (who.name ?? who.id).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = words.length > 1 && who.name !== null ? [words[0], words.at(-1)] : [words[0] ?? who.id];
  return letters.map((word) => (word ?? "").charAt(0).toUpperCase()).join("");
}
