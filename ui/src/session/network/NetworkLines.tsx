import { type ReactNode, useState } from "react";
import { ChevronIcon, DeniedIcon, NetworkIcon } from "../../design/icons.tsx";
import { Sentence } from "../../design/Sentence.tsx";
import { t } from "../../i18n/index.ts";
import { type Frame, num, str } from "../../journal/events.ts";
import type { Reached } from "../../journal/model.ts";
import { DECISIONS_KEPT } from "../../journal/network.ts";
import { bytes, deniedWords, duration, moment, traffic } from "../../text/format.ts";
import { hostPort } from "../../text/hosts.ts";

const SHOWN = 4;

/** What the cage reached or tried, a line a host; refusals first, since they explain what went wrong. */
export function NetworkLines({ network, row }: { network: readonly Reached[]; row?: boolean }): ReactNode {
  const [all, setAll] = useState(false);
  const sorted = network.toSorted((one, other) => Number(other.denied > 0) - Number(one.denied > 0));
  const hidden = all ? [] : sorted.slice(SHOWN);
  const refused = hidden.filter((entry) => entry.denied > 0).length;
  return (
    <ul role="list" className={row ? "net row net-row" : "net"} data-testid="network">
      {sorted.slice(0, all ? undefined : SHOWN).map((entry) => <HostLine key={hostPort(entry.host, entry.port)} entry={entry} />)}
      {hidden.length === 0 ? null : (
        <li>
          <button type="button" className="net-line net-more" onClick={() => setAll(true)}>
            {t("tools:moreHosts", { count: hidden.length })}
            {refused === 0 ? null : <span className="net-denied">{t("tools:refused", { count: refused })}</span>}
          </button>
        </li>
      )}
    </ul>
  );
}

function HostLine({ entry }: { entry: Reached }): ReactNode {
  const [open, setOpen] = useState(false);
  const denied = entry.denied > 0;
  const Icon = denied ? DeniedIcon : NetworkIcon;
  const reason = entry.decisions.map((frame) => str(frame.data, "reason")).findLast(Boolean) ?? "";
  const requests = entry.decisions.some(({ data }) => "method" in data);
  const what = requests ? t("tools:requests", { count: entry.connections }) : t("tools:connections", { count: entry.connections });
  const sums = [what, traffic(entry.up, entry.down)].filter(Boolean).join(" · ");
  return (
    <li data-denied={denied} data-testid="network-host">
      <button type="button" className="net-line" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon size={14} aria-hidden />
        <span className="net-words grow">
          <code>{entry.host === "" ? t("tools:otherHosts") : hostPort(entry.host, entry.port)}</code>
          {denied ? (
            <span className="net-denied"><Sentence text={deniedWords(entry.denied, reason)} /></span>
          ) : null}
          {entry.connections > 0 ? <span>{sums}</span> : null}
        </span>
        <ChevronIcon size={14} aria-hidden className="turn" />
      </button>
      {open ? (
        <ul role="list" className="net-decisions" tabIndex={0} aria-label={t("tools:decisions")}>
          {entry.decisions.length < DECISIONS_KEPT ? null : <li>{t("tools:earlier")}</li>}
          {entry.decisions.map((frame) => (
            <li key={frame.seq}>
              <time dateTime={frame.at}>{moment(frame.at)}</time>
              <span><Sentence text={facts(frame)} /></span>
            </li>
          ))}
        </ul>
      ) : null}
    </li>
  );
}

/** One decision: what was asked for, what decided, what went through. */
function facts({ type, data }: Frame): string {
  const [up, down, ms] = [num(data, "up"), num(data, "down"), num(data, "ms")];
  const through = str(data, "state") === "open" ? t("tools:open") : `${t("words:up", { size: bytes(up) })}, ${t("words:down", { size: bytes(down) })} · ${duration(ms)}`;
  const refused = type === "network.denied" ? deniedWords(num(data, "count"), str(data, "reason")) : "";
  const request = "method" in data ? `\`${str(data, "method")} ${str(data, "path")}\` · ` : "";
  return `${request}${str(data, "via").toUpperCase()} · ${refused || `${str(data, "rule")} · ${through}`}`;
}
