import type { ReactNode } from "react";
import { t } from "../i18n/index.ts";
import { terminalName } from "../palette/items.ts";
import { Header } from "../shell/Header.tsx";
import { go, linkTo } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { workspace } from "../state/workspace.ts";
import { Terminals } from "../terminal/Terminals.tsx";
import TerminalList from "./TerminalList.tsx";

interface TerminalsPageProps {
  terminal: string | null;
  onMenu: () => void;
}

/** Every terminal of this kaged, whichever session it belongs to; or one of them, with the others beside it. */
export default function TerminalsPage({ terminal, onMenu }: TerminalsPageProps): ReactNode {
  const space = useStore(workspace);
  if (terminal === null)
    return (
      <>
        <Header title={t("places:page.terminals")} onMenu={onMenu} />
        <div className="page" tabIndex={0}>
          <div className="page-column">
            <TerminalList />
          </div>
        </div>
      </>
    );
  return (
    <>
      <Header title={t("places:page.terminals")} onMenu={onMenu}>
        <a className="button" {...linkTo({ page: "terminals", terminal: null })}>
          {t("terminals:all")}
        </a>
      </Header>
      <Terminals
        scope={null}
        selected={terminal}
        onSelect={(id) => go({ page: "terminals", terminal: id }, "replace")}
        labelOf={(entry) => terminalName(entry, space)}
        empty={<TerminalList />}
      />
    </>
  );
}
