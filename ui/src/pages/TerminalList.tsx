import type { ReactNode } from "react";
import { api } from "../api/client.ts";
import type { Project, Terminal } from "../api/types.ts";
import { IconButton } from "../design/Button.tsx";
import { CageIcon, CloseIcon, HostIcon, TerminalIcon, ToolIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Badge, Empty } from "../design/parts.tsx";
import { StateView } from "../design/StateView.tsx";
import { t } from "../i18n/index.ts";
import { terminalName } from "../palette/items.ts";
import { lacks } from "../state/rights.ts";
import { linkTo } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { findProject, workspace } from "../state/workspace.ts";
import { ago } from "../text/format.ts";

export function TerminalState({ terminal }: { terminal: Terminal }): ReactNode {
  const { state, exit_code: code } = terminal;
  if (state === "open") return <Badge tone="accent">{t(terminal.task === null ? "terminals:open" : "terminals:running")}</Badge>;
  if (code === null) return <Badge tone="bad">{t("terminals:lost")}</Badge>;
  return <Badge tone={code === 0 ? "ok" : "bad"}>{code === 0 ? t("terminals:done") : t("terminals:exit", { code })}</Badge>;
}

/** Terminals by project, those of the host last; with a project, its own. */
export default function TerminalList({ project }: { project?: Project }): ReactNode {
  const held = useLoaded(async () => {
    const { items } = await api.terminals(null);
    return items.filter((each) => project === undefined || each.project === project.slug);
  }, project?.slug);
  const none = <Empty icon={<TerminalIcon size={26} />} title={t("terminals:none")} words={t("terminals:noneWhy")} />;
  return (
    <StateView of={held} lines={4} empty={none}>
      {(shown) => {
        const groups = [...new Set(shown.map((each) => each.project ?? ""))];
        return groups.toSorted((a, b) => Number(a === "") - Number(b === "") || a.localeCompare(b)).map((group) => (
          <section key={group} aria-label={group || t("terminals:host")}>
            {project === undefined ? <h2 className="page-title page-words">{group || t("terminals:host")}</h2> : null}
            <ul role="list" className="card list" data-testid="terminal-list">
              {shown.filter((each) => (each.project ?? "") === group).map((each) => (
                <Line key={each.id} terminal={each} onClose={() => void held.act(api.closeTerminal(each.id))} />
              ))}
            </ul>
          </section>
        ));
      }}
    </StateView>
  );
}

function Line({ terminal, onClose }: { terminal: Terminal; onClose: () => void }): ReactNode {
  const space = useStore(workspace);
  const name = terminalName(terminal, space);
  const lacking = lacks(findProject(space, terminal.project ?? ""), "editor");
  const Icon = terminal.task !== null ? ToolIcon : terminal.kind === "host" ? HostIcon : CageIcon;
  const kind = terminal.task !== null ? "task" : terminal.kind;
  return (
    <li className="list-line">
      <Icon size={16} aria-label={t(`terminals:kind.${kind}`)} />
      <a className="place-link ellipsis" {...linkTo({ page: "terminals", terminal: terminal.id })}>{name}</a>
      <TerminalState terminal={terminal} />
      <time className="muted" dateTime={terminal.created_at}>{ago(terminal.created_at)}</time>
      <IconButton small label={lacking ?? t("terminals:close", { name })} disabled={lacking !== null} onClick={onClose}>
        <CloseIcon size={14} />
      </IconButton>
    </li>
  );
}
