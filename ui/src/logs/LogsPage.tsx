import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { Button } from "../design/Button.tsx";
import { LogsIcon } from "../design/icons.tsx";
import { Empty, Problem, Select } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { type Frame, str } from "../journal/events.ts";
import { Header } from "../shell/Header.tsx";
import { clockSeconds } from "../text/format.ts";
import { socket } from "../ws/browser.ts";
import "./logs.css";

const KEPT = 2000;
const LEVELS = ["debug", "info", "warn", "error"] as const;

/** The daemon's log as it is written, from its last 2,000 lines on; for admins. */
export default function LogsPage(): ReactNode {
  const { lines, refused } = useLog();
  const [least, setLeast] = useState<(typeof LEVELS)[number]>("info");
  const [wanted, setWanted] = useState("");
  const [paused, setPaused] = useState<readonly Frame[] | null>(null);
  const shown = useMemo(() => {
    const from = LEVELS.indexOf(least);
    const words = wanted.trim().toLowerCase();
    return (paused ?? lines).filter(({ data }) => {
      if (LEVELS.findIndex((level) => level === str(data, "level")) < from) return false;
      return words === "" || `${str(data, "logger")} ${str(data, "message")} ${str(data, "error")}`.toLowerCase().includes(words);
    });
  }, [lines, paused, least, wanted]);
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (paused === null) end.current?.scrollIntoView({ block: "end" });
  }, [shown, paused]);
  return (
    <>
      <Header title={t("logs:title")}>
        <Button onClick={() => setPaused(paused === null ? lines : null)} aria-pressed={paused !== null}>
          {paused === null ? t("logs:pause") : t("logs:follow", { count: lines.length - paused.length })}
        </Button>
      </Header>
      <div className="controls log-tools">
        <input className="input" type="search" aria-label={t("logs:find")} placeholder={t("logs:find")} value={wanted} onChange={(event) => setWanted(event.target.value)} />
        <Select label={t("logs:least")} of={LEVELS} now={least} words={(level) => t(`logs:level.${level}`)} onChoose={setLeast} />
      </div>
      <div className="page log" tabIndex={0} data-testid="log" aria-label={t("logs:title")}>
        <Problem text={refused} />
        {shown.length === 0 && refused === null ? (
          <Empty icon={<LogsIcon size={26} />} title={lines.length === 0 ? t("logs:empty") : t("logs:nothing")}>
            {lines.length === 0 ? null : (
              <Button onClick={() => { setWanted(""); setLeast("debug"); }}>{t("logs:all")}</Button>
            )}
          </Empty>
        ) : null}
        <ol role="list">
          {shown.map(({ seq, at, data }) => (
            <li key={seq} className="log-line" data-level={str(data, "level")}>
              <time dateTime={at}>{clockSeconds(at)}</time>
              <span className="log-level">{str(data, "level")}</span>
              <span className="log-words">
                {str(data, "message")}
                {str(data, "error") === "" ? null : <span className="log-error">{str(data, "error")}</span>}
                <span className="muted"> {str(data, "logger")}</span>
              </span>
            </li>
          ))}
        </ol>
        <div ref={end} />
      </div>
    </>
  );
}

function useLog(): { lines: readonly Frame[]; refused: string | null } {
  const [lines, setLines] = useState<readonly Frame[]>([]);
  const [refused, setRefused] = useState<string | null>(null);
  useEffect(
    () =>
      socket.subscribe("logs", 0, {
        frames: (frames) => setLines((held) => [...held, ...frames].slice(-KEPT)),
        // The daemon began anew, and counts from 1 again.
        reset: () => setLines([]),
        refused: (_code, message) => setRefused(message),
      }),
    [],
  );
  return { lines, refused };
}
