import type { ReactNode } from "react";
import { CageIcon } from "../design/icons.tsx";
import { Empty } from "../design/parts.tsx";
import { t } from "../i18n";
import { go } from "../state/router.ts";
import { Terminals } from "./Terminals.tsx";

interface SessionTerminalsProps {
  project: string;
  session: string;
  terminal: string | null;
}

/** The terminals of one session, by default inside its cage. */
export default function SessionTerminals({ project, session, terminal }: SessionTerminalsProps): ReactNode {
  return (
    <Terminals
      scope={{ project, session }}
      selected={terminal}
      onSelect={(id) => go({ page: "session", project, session, view: "terminal", terminal: id }, "replace")}
      labelOf={(entry) => entry.title}
      empty={
        <Empty icon={<CageIcon size={28} />} title={t("terminal:empty.title")}>
          <p>{t("terminal:empty.text")}</p>
        </Empty>
      }
    />
  );
}
