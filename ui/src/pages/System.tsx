import type { ReactNode } from "react";
import { api } from "../api/client.ts";
import type { SystemReport, Versions } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { AlertIcon, CheckIcon, RetryIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { StateView } from "../design/StateView.tsx";
import { str } from "../journal/events.ts";
import { Header } from "../shell/Header.tsx";
import { Queue } from "./Queue.tsx";
import { Sentence } from "../design/Sentence.tsx";

const stamp = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

const look = (): Promise<[SystemReport, Versions]> => Promise.all([api.system(), api.versions()]);

export default function SystemPage({ onMenu }: { onMenu: () => void }): ReactNode {
  const system = useLoaded(look);
  const { busy } = system;
  return (
    <>
      <Header title="System" onMenu={onMenu}>
        <Button busy={busy} onClick={system.retry}>
          {busy ? null : <RetryIcon size={14} aria-hidden />} Check again
        </Button>
      </Header>
      <div className="page" tabIndex={0}>
        <div className="page-column">
          <StateView of={system} lines={6}>
            {([report, versions]) => (
              <>
                <Processes report={report} versions={versions} />
                <h2 className="page-title">Checks</h2>
                <Checks checks={report.checks} />
                <h2 className="page-title">Runs</h2>
                <Queue />
                <h2 className="page-title">Cages</h2>
                <Cages cages={report.cages} />
              </>
            )}
          </StateView>
        </div>
      </div>
    </>
  );
}

function Processes({ report, versions }: { report: SystemReport; versions: Versions }): ReactNode {
  const { daemon, keeper, running } = report;
  const started = new Date(daemon.started_at);
  const rows: [string, string][] = [
    ["kaged", `${versions.kaged}, API ${versions.api}, ${daemon.mode} mode`],
    ["Daemon", `process ${daemon.pid}, since ${Number.isNaN(started.getTime()) ? "?" : stamp.format(started)}`],
    ["Listens on", daemon.bind],
    ["Keeper", keeper === null ? "not connected" : `process ${keeper.pid}, version ${keeper.version}`],
    ["Limits of cages", keeper === null ? "" : `held by ${keeper.limits}`],
    ["Runs going on", String(running)],
  ];
  return (
    <dl className="card facts">
      {rows.map(([name, value]) => (
        <div key={name} className="fact">
          <dt className="fact-name">{name}</dt>
          <dd className="fact-value">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Checks({ checks }: { checks: SystemReport["checks"] }): ReactNode {
  if (checks.length === 0) return <p className="muted">No checks were made.</p>;
  return (
    <ul role="list" className="card list">
      {checks.map((check) => (
        <li key={check.name} className="check" data-ok={check.ok}>
          {check.ok ? <CheckIcon size={16} aria-label="ok" /> : <AlertIcon size={16} aria-label="not ok" />}
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
  if (cages.length === 0) return <p className="muted">No cage is open. One opens with the first tool an agent uses.</p>;
  return (
    <ul role="list" className="card list">
      {cages.map((cage) => {
        const id = str(cage, "id");
        const started = new Date(str(cage, "started_at"));
        return (
          <li key={id} className="list-line">
            <span className="mono grow ellipsis">{id}</span>
            <span className="muted">{Number.isNaN(started.getTime()) ? "" : `since ${stamp.format(started)}`}</span>
          </li>
        );
      })}
    </ul>
  );
}
