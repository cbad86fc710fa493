import type { ReactNode } from "react";
import { api } from "../../api/client.ts";
import { t } from "../../i18n/index.ts";
import { useStore } from "../../state/store.ts";
import { me } from "../../state/workspace.ts";
import { Facts } from "../../design/Facts.tsx";
import { useLoaded } from "../../design/loaded.ts";
import { StateView } from "../../design/StateView.tsx";

/** Versions, and who the reader is to this kaged. */
export default function About(): ReactNode {
  const self = useStore(me);
  return (
    <>
      <p className="lead">{t("settings:about.what")}</p>
      <StateView of={useLoaded(api.versions)}>
        {({ kaged, api: version, ui }) => {
          const rows = { kaged, api: version, console: ui, mode: self?.mode, you: self?.id, role: self?.role };
          return <Facts mono rows={Object.entries(rows).map(([name, value]) => [t(`settings:about.${name as "kaged"}`), value])} />;
        }}
      </StateView>
    </>
  );
}
