import type { ReactNode } from "react";
import { api } from "../api/client.ts";
import type { SystemReport, Versions } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { Facts } from "../design/Facts.tsx";
import { AlertIcon, CheckIcon, RetryIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Sentence } from "../design/Sentence.tsx";
import { StateView } from "../design/StateView.tsx";
import { t } from "../i18n/index.ts";
import { str } from "../journal/events.ts";
import { Queue } from "./Queue.tsx";
import { stamp } from "../text/format.ts";

export default function System(): ReactNode {
  const held = useLoaded(() => Promise.all([api.system(), api.versions()]));
  const busy = held.busy && held.value !== null;
  return (
    <>
      <div className="section-acts">
        <Button busy={busy} onClick={() => void held.retry()}>
          {busy ? null : <RetryIcon size={14} />} {t("settings:system.again")}
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
  const { kaged: version, api: spoken } = versions;
  const rows: [string, string][] = [
    [t("settings:system.kaged"), t("settings:system.versions", { version, api: spoken, mode: daemon.mode })],
    [
      t("settings:system.daemon"),
      t("settings:system.process", { pid: daemon.pid, since: stamp(daemon.started_at) || "?" }),
    ],
    [t("settings:system.listens"), daemon.bind],
    [
      t("settings:system.keeper"),
      keeper === null ? t("settings:system.away") : t("settings:system.keeperProcess", { ...keeper }),
    ],
    [t("settings:system.limits"), keeper === null ? "" : t("settings:system.heldBy", { what: keeper.limits })],
    [t("settings:system.running"), String(running)],
  ];
  return <Facts rows={rows} />;
}

function Checks({ checks }: { checks: SystemReport["checks"] }): ReactNode {
  if (checks.length === 0) return <p className="muted">{t("settings:system.noChecks")}</p>;
  return (
    <ul role="list" className="card list">
      {checks.map(({ name, ok, detail, fix }) => (
        <li key={name} className="check" data-ok={ok}>
          {ok ? (
            <CheckIcon size={16} aria-label={t("settings:system.ok")} />
          ) : (
            <AlertIcon size={16} aria-label={t("settings:system.notOk")} />
          )}
          <div className="grow">
            <div>{name}</div>
            {detail && detail !== "held" ? (
              <div className="muted">
                <Sentence text={detail} />
              </div>
            ) : null}
            {!ok && fix ? (
              <div className="check-fix">
                <Sentence text={fix} />
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
        const [id, since] = [str(cage, "id"), stamp(str(cage, "started_at"))];
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
