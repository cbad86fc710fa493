import { t } from "../../i18n/index.ts";
import { overlay } from "../../shell/overlay.ts";
import { go, type Place } from "../../state/router.ts";
import { panel, toggleInspector } from "../panel.ts";
import { interrupt, nameCheckpoint, renameSession } from "../acts.ts";
import type { Command } from "./line.ts";

/** What can be done by a line that begins with `/`; only what makes sense now. */
export function commandsFor(project: string, session: string, readOnly: boolean, active: boolean): Command[] {
  const place: Place = { page: "session", project, session, view: "terminal", terminal: null };
  const checkpoints = (compare = false): void => panel.set({ kind: "checkpoints", id: null, compare });
  const named = (name: string): unknown => (name === "" ? checkpoints() : nameCheckpoint(project, session, name));
  const titled = (title: string): unknown => (title === "" ? panel.set({ kind: "rename" }) : renameSession(project, session, title));
  const [name, title] = [t("session:command.name"), t("session:command.title")];
  const writes: Command[] = readOnly ? [] : [
    { name: "checkpoint", words: t("session:command.checkpoint"), argument: name, run: named },
    { name: "rename", words: t("session:command.rename"), argument: title, run: titled },
    { name: "archive", words: t("session:command.archive"), run: () => panel.set({ kind: "archive" }) },
  ];
  const stop = { name: "interrupt", words: t("session:command.interrupt"), run: () => void interrupt(project, session) };
  return [
    ...(active && !readOnly ? [stop] : []),
    { name: "rollback", words: t("session:command.rollback"), run: () => checkpoints() },
    { name: "compare", words: t("session:command.compare"), run: () => checkpoints(true) },
    ...writes,
    { name: "inspect", words: t("session:command.inspect"), run: toggleInspector },
    { name: "terminal", words: t("session:command.terminal"), run: () => go(place) },
    { name: "model", words: t("session:command.model"), run: () => go({ page: "settings", section: "models" }) },
    { name: "help", words: t("session:command.help"), run: () => overlay.set({ kind: "shortcuts" }) },
  ];
}
