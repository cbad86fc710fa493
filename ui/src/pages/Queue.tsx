import type { ReactNode } from "react";
import { api } from "../api/client.ts";
import type { FullLimit, QueueRow } from "../api/types.ts";
import { IconButton } from "../design/Button.tsx";
import { SendIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Dot } from "../design/parts.tsx";
import { StateView } from "../design/StateView.tsx";
import { t } from "../i18n/index.ts";
import { linkTo, sessionPlace } from "../state/router.ts";
import { me } from "../state/workspace.ts";

/** Runs at work against their limits, and the sessions that wait for a free place, in an order that can be changed. */
export function Queue(): ReactNode {
  const held = useLoaded(api.queue);
  const up = (moved: QueueRow, before: QueueRow): void => void held.act(api.moveQueued(moved.id, before.id));
  return (
    <StateView of={held} lines={2}>
      {({ limits, at_work, mine, running, items }) => (
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
                <Line key={row.id} row={row} before={items[at - 1]} onUp={up} />
              ))}
            </ul>
          )}
        </div>
      )}
    </StateView>
  );
}

/** What there is no free place for. */
export function fullWords(full: FullLimit): string {
  const mine = full.limit === "runs_per_user" && full.person === me.get()?.id;
  return t(`limits:full.${mine ? "mine" : full.limit}`, { ...full });
}

interface LineProps {
  row: QueueRow;
  before?: QueueRow | undefined;
  onUp?: (row: QueueRow, before: QueueRow) => void;
}

function Line({ row, before, onUp }: LineProps): ReactNode {
  return (
    <li className="list-line">
      <Dot state={row.state} label={t(row.state === "queued" ? "shell:state.queued" : "limits:atWork")} />
      <a className="grow ellipsis" {...linkTo(sessionPlace(row.project, row.id))}>
        {row.title}
      </a>
      {row.reason == null ? null : <span className="muted">{fullWords(row.reason)}</span>}
      <span className="muted">{row.project}</span>
      {before === undefined ? null : (
        <IconButton label={t("limits:up", { title: row.title })} onClick={() => onUp?.(row, before)}>
          <SendIcon size={14} />
        </IconButton>
      )}
    </li>
  );
}
