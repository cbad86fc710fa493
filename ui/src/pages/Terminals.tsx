import type { ReactNode } from "react";
import { TerminalIcon } from "../design/icons.tsx";
import { Empty } from "../design/parts.tsx";
import { Header } from "../shell/Header.tsx";
import { go, linkTo } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { workspace } from "../state/workspace.ts";
import { Terminals } from "../terminal/Terminals.tsx";

interface TerminalsPageProps {
  terminal: string | null;
  onMenu: () => void;
}

/** Every terminal of this kaged, whichever session it belongs to. */
export default function TerminalsPage({ terminal, onMenu }: TerminalsPageProps): ReactNode {
  const { sessions } = useStore(workspace);
  const titleOf = (id: string | null): string =>
    Object.values(sessions)
      .flatMap((page) => page.items)
      .find((session) => session.id === id)?.title ?? "";
  return (
    <>
      <Header title="Terminals" onMenu={onMenu} />
      <Terminals
        scope={null}
        selected={terminal}
        onSelect={(id) => go({ page: "terminals", terminal: id }, "replace")}
        labelOf={(entry) => titleOf(entry.session) || entry.title}
        empty={
          <Empty icon={<TerminalIcon size={28} />} title="No terminal is open">
            <p>
              A terminal opens inside the cage of a session: go to one and choose <strong>Terminal</strong>.
            </p>
            <a className="button" {...linkTo({ page: "home" })}>
              Go to a session
            </a>
          </Empty>
        }
      />
    </>
  );
}
