import { type ReactNode, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import type { FullLimit, QueueReport, QueueRow } from "../api/types.ts";
import { IconButton } from "../design/Button.tsx";
import { SendIcon } from "../design/icons.tsx";
import { Dot } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { linkTo, sessionPlace } from "../state/router.ts";
import { toastError } from "../state/toasts.ts";
import { me } from "../state/workspace.ts";

/** Runs at work against their limits, and the sessions that wait for a free place, in an order that can be changed. */
export function Queue(): ReactNode {
  const [report, setReport] = useState<QueueReport | null>(null);
  useEffect(() => void api.queue().then(setReport, toastError), []);
  if (report === null) return null;
  const { limits, at_work, mine, running, items } = report;
  const up = (at: number): void => {
    const [moved, before] = [items[at], items[at - 1]];
    if (moved !== undefined && before !== undefined) void api.moveQueued(moved.id, before.id).then(setReport, toastError);
  };
  return (
    <div data-testid="queue">
      <p className="muted page-words">
        {t("limits:queue", { at_work, runs: limits.runs, project: limits.per_project })}{" "}
        {t("limits:mine", { mine, most: limits.per_user })} {t("limits:counted")}
      </p>
      {running.length + items.length === 0 ? null : (
        <ul role="list" className="card list">
          {running.map((row) => (
            <Line key={row.id} row={row} />
          ))}
          {items.map((row, at) => (
            <Line key={row.id} row={row}>
              {at === 0 ? null : (
                <IconButton label={t("limits:up", { title: row.title })} onClick={() => up(at)}>
                  <SendIcon size={14} aria-hidden />
                </IconButton>
              )}
            </Line>
          ))}
        </ul>
      )}
    </div>
  );
}

/** What there is no free place for. */
export function fullWords(full: FullLimit): string {
  const mine = full.limit === "runs_per_user" && full.person === me.get()?.id;
  return t(`limits:full.${mine ? "mine" : full.limit}`, { ...full });
}

function Line({ row, children }: { row: QueueRow; children?: ReactNode }): ReactNode {
  const words = row.state === "queued" ? t("shell:state.queued") : t("limits:atWork");
  return (
    <li className="list-line">
      <Dot state={row.state} label={words} />
      <a className="grow ellipsis" {...linkTo(sessionPlace(row.project, row.id))}>
        {row.title}
      </a>
      {row.reason == null ? null : <span className="muted">{fullWords(row.reason)}</span>}
      <span className="muted">{row.project}</span>
      {children}
    </li>
  );
}
