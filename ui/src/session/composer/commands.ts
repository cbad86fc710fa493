import { t } from "../../i18n/index.ts";
import { overlay } from "../../shell/overlay.ts";
import { go, type Place } from "../../state/router.ts";
import { panel, toggleInspector } from "../panel.ts";
import { interrupt, nameCheckpoint, renameSession } from "../acts.ts";
import type { Command } from "./line.ts";

interface Here {
  project: string;
  session: string;
  readOnly: boolean;
  active: boolean;
}

/** What can be done by a line that begins with `/`; only what makes sense now. */
export function commandsFor({ project, session, readOnly, active }: Here): Command[] {
  const place: Place = { page: "session", project, session, view: "terminal", terminal: null };
  const writes: Command[] = [
    { name: "checkpoint", words: t("session:command.checkpoint"), argument: t("session:command.name"), run: (name) => (name === "" ? panel.set({ kind: "checkpoints", id: null }) : void nameCheckpoint(project, session, name)) },
    { name: "rename", words: t("session:command.rename"), argument: t("session:command.title"), run: (title) => (title === "" ? panel.set({ kind: "rename" }) : void renameSession(project, session, title)) },
    { name: "archive", words: t("session:command.archive"), run: () => panel.set({ kind: "archive" }) },
  ];
  return [
    ...(active && !readOnly ? [{ name: "interrupt", words: t("session:command.interrupt"), run: () => void interrupt(project, session) }] : []),
    { name: "rollback", words: t("session:command.rollback"), run: () => panel.set({ kind: "checkpoints", id: null }) },
    { name: "compare", words: t("session:command.compare"), run: () => panel.set({ kind: "checkpoints", id: null, compare: true }) },
    ...(readOnly ? [] : writes),
    { name: "inspect", words: t("session:command.inspect"), run: toggleInspector },
    { name: "terminal", words: t("session:command.terminal"), run: () => go(place) },
    { name: "model", words: t("session:command.model"), run: () => go({ page: "settings", section: "models" }) },
    { name: "help", words: t("session:command.help"), run: () => overlay.set({ kind: "shortcuts" }) },
  ];
}
