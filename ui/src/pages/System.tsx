import { type ReactNode, useState } from "react";
import { api } from "../api/client.ts";
import type { SystemReport, Versions } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { AlertIcon, CheckIcon, RetryIcon } from "../design/icons.tsx";
import { str } from "../journal/events.ts";
import { t } from "../i18n/index.ts";
import { Facts } from "../design/Facts.tsx";
import { useLoaded } from "../design/loaded.ts";
import { StateView } from "../design/StateView.tsx";
import { Queue } from "./Queue.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { stamp } from "../text/format.ts";


export default function System(): ReactNode {
  const held = useLoaded(() => Promise.all([api.system(), api.versions()]));
  const [busy, setBusy] = useState(false);
  const again = (): void => {
    setBusy(true);
    void held.retry().finally(() => setBusy(false));
  };
  return (
    <>
      <div className="section-acts">
        <Button busy={busy} onClick={again}>
          {busy ? null : <RetryIcon size={14} aria-hidden />} {t("settings:system.again")}
        </Button>
      </div>
      <StateView of={held}>
        {([report, versions]) => (
          <>
            <Processes report={report} versions={versions} />
            <h2 className="page-title">{t("settings:system.checks")}</h2>
            <Checks checks={report.checks} />
            <h2 className="page-title">{t("settings:system.runs")}</h2>
            <Queue />
            <h2 className="page-title">{t("settings:system.cages")}</h2>
            <Cages cages={report.cages} />
          </>
        )}
      </StateView>
    </>
  );
}

function Processes({ report, versions }: { report: SystemReport; versions: Versions }): ReactNode {
  const { daemon, keeper, running } = report;
  const rows: [string, string][] = [
    [
      t("settings:system.kaged"),
      t("settings:system.versions", { version: versions.kaged, api: versions.api, mode: daemon.mode }),
    ],
    [
      t("settings:system.daemon"),
      t("settings:system.process", { pid: daemon.pid, since: stamp(daemon.started_at) || "?" }),
    ],
    [t("settings:system.listens"), daemon.bind],
    [t("settings:system.keeper"), keeper === null ? t("settings:system.away") : t("settings:system.keeperProcess", { ...keeper })],
    [t("settings:system.limits"), keeper === null ? "" : t("settings:system.heldBy", { what: keeper.limits })],
    [t("settings:system.running"), String(running)],
  ];
  return <Facts rows={rows} />;
}

function Checks({ checks }: { checks: SystemReport["checks"] }): ReactNode {
  if (checks.length === 0) return <p className="muted">{t("settings:system.noChecks")}</p>;
  return (
    <ul role="list" className="card list">
      {checks.map((check) => (
        <li key={check.name} className="check" data-ok={check.ok}>
          {check.ok ? <CheckIcon size={16} aria-label={t("settings:system.ok")} /> : <AlertIcon size={16} aria-label={t("settings:system.notOk")} />}
          <div className="grow">
            <div>{check.name}</div>
            {check.detail && check.detail !== "held" ? (
              <div className="muted">
                <Sentence text={check.detail} />
              </div>
            ) : null}
            {!check.ok && check.fix ? (
              <div className="check-fix">
                <Sentence text={check.fix} />
              </div>
            ) : null}
          </div>
        </li>
      ))}
    </ul>
  );
}

function Cages({ cages }: { cages: Record<string, unknown>[] }): ReactNode {
  if (cages.length === 0) return <p className="muted">{t("settings:system.noCages")}</p>;
  return (
    <ul role="list" className="card list">
      {cages.map((cage) => {
        const id = str(cage, "id");
        const since = stamp(str(cage, "started_at"));
        return (
          <li key={id} className="list-line">
            <span className="mono grow ellipsis">{id}</span>
            <span className="muted">{since && t("settings:system.since", { since })}</span>
          </li>
        );
      })}
    </ul>
  );
}
