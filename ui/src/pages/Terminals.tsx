import type { ReactNode } from "react";
import { t } from "../i18n/index.ts";
import { terminalName } from "../palette/items.ts";
import { Frame } from "../shell/Frame.tsx";
import { Header } from "../shell/Header.tsx";
import { go, linkTo } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { workspace } from "../state/workspace.ts";
import { Terminals } from "../terminal/Terminals.tsx";
import TerminalList from "./TerminalList.tsx";

/** Every terminal of this kaged, whichever session it belongs to; or one of them, with the others beside it. */
export default function TerminalsPage({ terminal }: { terminal: string | null }): ReactNode {
  const space = useStore(workspace);
  const title = t("places:page.terminals");
  if (terminal === null) return <Frame title={title}><TerminalList /></Frame>;
  return (
    <>
      <Header title={title}>
        <a className="button" {...linkTo({ page: "terminals", terminal: null })}>{t("terminals:all")}</a>
      </Header>
      <Terminals scope={null} selected={terminal} labelOf={(entry) => terminalName(entry, space)} empty={<TerminalList />}
        onSelect={(id) => go({ page: "terminals", terminal: id }, "replace")} />
    </>
  );
}
